-- Keep for an attempt of an agent what its task may still cost, out of what is left of the budgets of its feature and of
-- the day, so that attempts side by side cannot spend more together. What is kept shrinks as the attempt spends
-- (usage.lua), and counts while a worker holds the attempt. Where others hold too much, the attempt has to wait; where
-- nobody does, it gets what is left, if that is less.
--
-- keys: reserved
-- args: feature prefix task attempt task_budget feature_budget day_budget
--   …_budget  in millionths of a dollar, as configured; "": none. What a person set for the task or the feature comes
--             before it
-- answer: {code, which, kept, …}, and then as usage.lua from "spent on the task"; money in millionths of a dollar
--   "kept"    for the attempt; kept is -1 where no budget holds
--   "held"    others hold what is left of `which`, which is "feature" or "day"; nothing is kept
--   "over"    `which` is used up; nothing is kept
local entry = feature .. ':' .. task
local account = open_account(task, task_budget, feature_budget)
account.budgets.day = tonumber(day_budget)

-- What others hold: of the feature, and of all.
local function read_held()
  local held, stored = { feature = 0, day = 0 }, redis.call('HGETALL', reserved_key)
  for place = 1, #stored, 2 do
    local id, other = string.match(stored[place], '^([^:]+):(.*)$')
    local number, amount = string.match(stored[place + 1], '^(%d+) (%d+)$')
    if stored[place] == entry or not (number and runs(id, other, number)) then
      redis.call('HDEL', reserved_key, stored[place])
    else
      held.day = held.day + amount
      if id == feature then held.feature = held.feature + amount end
    end
  end
  return held
end

local held = read_held()
local code, which, kept = 'kept', '', nil
for _, name in ipairs({ 'task', 'feature', 'day' }) do
  local budget = account.budgets[name]
  if budget then
    local left, of_others = budget - account.spent[name], held[name] or 0
    local wanted = kept or left
    if left <= 0 then
      code, which = 'over', name
      break
    elseif of_others > 0 and left - of_others < wanted then
      if code == 'kept' then code, which = 'held', name end
    else
      kept = math.min(wanted, left)
    end
  end
end
if code == 'kept' and kept then redis.call('HSET', reserved_key, entry, attempt .. ' ' .. string.format('%d', kept)) end
return { code, which, code == 'kept' and kept or -1, unpack(account.figures()) }
