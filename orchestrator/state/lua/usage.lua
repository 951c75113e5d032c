-- Count what an attempt of an agent has used: of each model the largest values seen so far. Only the difference to them
-- is added to the sums, so that a report may come twice, late, or after a newer one. It counts also when the attempt has
-- ended: what was used was used.
--
-- keys: usage reserved
-- args: feature prefix task attempt specialist usages kept_ms task_budget feature_budget
--   usages   JSON [Usage, …], one for each model; costs in millionths of a dollar
--   kept_ms  how long the sums of a day are kept
--   …_budget  as in reserve.lua
-- answer: {code, kept, spent on the task, tokens and requests of the task, spent on the feature, spent today on all, the budget of
--   the task and of the feature (-1: none), ms until the next day}; money in millionths of a dollar
--   "counted"  done; `kept`: what is still kept for the attempt (-1: nothing was, see reserve.lua)
--   "missing"  no such feature, task or attempt; nothing was changed
local WARN_AT = 0.8 -- of a budget

local state = state_of(task)
if not state or state.attempt < tonumber(attempt) then return {'missing'} end

local day = shared(string.format('usage:%d', math.floor(now / 86400000)))
local field = attempt .. ':' .. task
local marks = cjson.decode(redis.call('HGET', usage_key, field) or '{}')
local spent, tokens, requests = 0, 0, 0

-- Add to the sums of the day, and to those of all days, which metrics show.
local function add(model, kind, by)
  local name = specialist .. '\t' .. model .. '\t' .. kind
  redis.call('HINCRBY', day, name, by)
  redis.call('HINCRBY', shared('usage:all'), name, by)
end

-- Raise a mark; answers by how much.
local function raise(mark, kind, value)
  local by = math.max(0, (value or 0) - (mark[kind] or 0))
  if by > 0 or mark[kind] == nil then mark[kind] = (mark[kind] or 0) + by end
  return by
end

local function count(usage)
  local model = usage.model or ''
  local is_new, mark = not marks[model], marks[model] or {}
  for _, kind in ipairs({ 'input', 'cache_read', 'cache_write', 'output', 'reasoning', 'requests' }) do
    local by = raise(mark, kind, usage[kind])
    if by ~= 0 then add(model, kind, by) end
    if kind == 'requests' then requests = requests + by end
    if kind == 'input' or kind == 'cache_write' or kind == 'output' then tokens = tokens + by end
  end
  if usage.cost then
    if mark.cost == nil and not is_new then add(model, 'unknown', -1) end
    local by = raise(mark, 'cost', usage.cost)
    add(model, 'cost', by) -- also of 0: then it is known
    spent = spent + by
    mark.source = usage.source
  elseif is_new then
    add(model, 'unknown', 1)
  end
  for _, name in ipairs({ 'model', 'tier', 'runtime', 'session', 'partial' }) do mark[name] = usage[name] end
  mark.specialist = specialist
  marks[model] = mark
end

for _, usage in ipairs(cjson.decode(usages)) do count(usage) end
redis.call('HSET', usage_key, field, cjson.encode(marks))
local cost = redis.call('HINCRBY', usage_key, 'spent ' .. task, spent)
if spent > 0 then
  state.cost = cost -- for those who look at the task
  save_state(task, state)
end
redis.call('HINCRBY', usage_key, 'tokens ' .. task, tokens)
redis.call('HINCRBY', usage_key, 'requests ' .. task, requests)
if spent > 0 then
  redis.call('HINCRBY', usage_key, 'spent', spent)
  redis.call('HINCRBY', day, 'spent', spent)
end
if redis.call('EXISTS', day) == 1 then redis.call('PEXPIRE', day, kept_ms) end

-- What is spent is kept no more.
local function spend_kept()
  local entry = feature .. ':' .. task
  local number, amount = string.match(redis.call('HGET', reserved_key, entry) or '', '^(%d+) (%d+)$')
  if number ~= attempt then return -1 end
  local left = math.max(0, amount - spent)
  if spent > 0 then redis.call('HSET', reserved_key, entry, number .. ' ' .. string.format('%d', left)) end
  return left
end

local account = open_account(task, task_budget, feature_budget)

-- Say once that most of a budget is used, and once that all of it is; again where somebody has changed the budget.
local function warn(name, field)
  local budget, used = account.budgets[name], account.spent[name]
  if spent == 0 or not budget or used < WARN_AT * budget then return end
  local event = used < budget and 'budget_warned' or 'budget_reached'
  local said = string.format('%s %d', event, budget)
  if redis.call('HGET', usage_key, field) == said then return end
  redis.call('HSET', usage_key, field, said)
  local of_task = name == 'task' and task or ''
  record(event, 'task', of_task, 'note', string.format('$%.2f of $%.2f', used / 1e6, budget / 1e6))
end

warn('task', 'warned ' .. task)
warn('feature', 'warned')
return { 'counted', spend_kept(), unpack(account.figures()) }
