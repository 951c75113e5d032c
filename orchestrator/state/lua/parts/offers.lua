-- Offer launched tasks to agents that ask for work, in place of a message (see `Offers` in offers.py).
--
-- keys: tasks slots

-- {specialist: true} of those whose work agents claim; false where there are none.
local pulling = pulled ~= '' and cjson.decode(pulled)

-- Whether an attempt waits for an agent. Gates, and a task with a command of its own, are a worker's.
local function awaits_an_agent(task, state, specialist)
  if not pulling or not pulling[specialist] or state.status == 'testing' or is_gates(task) then return false end
  local stored = redis.pcall('HGET', tasks_key, task)
  return type(stored) ~= 'string' or not (string.find(stored, '"run":', 1, true) and cjson.decode(stored).run)
end

local function offered_of(specialist)
  return shared('offered:' .. specialist)
end

local function offer_of(task, attempt)
  return feature .. ' ' .. task .. ' ' .. string.format('%d', attempt)
end

-- In launch order; what a lost or a released claim gave back goes ahead. A key that is no sorted set is left alone, and the
-- sweep offers the task again.
local function offer(task, state, specialist)
  if redis.pcall('ZSCORE', offered_of(specialist), offer_of(task, state.attempt)) then return end
  local place = redis.pcall('INCR', shared('offers'))
  if type(place) ~= 'number' then place = now end
  redis.pcall('ZADD', offered_of(specialist), state.ahead and -place or place, offer_of(task, state.attempt))
end

-- Take back the offers of a feature that is over.
local function withdraw_offers()
  for _, task in ipairs(pulling and redis.call('ZRANGEBYSCORE', slots_key, '-inf', 0) or {}) do
    local state, _, _, specialist = state_of(task), plan_of(task)
    redis.pcall('ZREM', offered_of(specialist), offer_of(task, state.attempt))
  end
end
