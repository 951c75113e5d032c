-- Take new tasks and dependencies into a feature that runs, as they were worked out from an earlier look at it.
--
-- KEYS  1 meta  2 states  3 counts  4 batches  5 ready  6 slots  7 delayed  8 plan  9 unassigned
--       10 events  11 tasks  12 waiting  13 freed
-- ARGV  1 the open batch, and 2 how often the feature had grown, when it was worked out
--       3 JSON: unlaunched [task, …] (assumed), added (how many tasks), tasks {task: its JSON}, specialists {new task:
--       its specialist}, moved {task: [rank, batch]}, batches {number: its JSON}, totals {number: its tasks}, ended
--       [number, …] (batches that are no more), meta {field: value}, events [[field, value, …], …]
--       4 statuses in which an unlaunched task may wait, comma-separated  5 names that are counted by batch
--       6 statuses in which a feature is over  7 event of the feature  8 events kept
-- Output "grown"    done; the cascade launches what follows from it
--        "changed"  the feature is not what it was, over, or gone; nothing was changed
local meta = redis.call('HMGET', KEYS[1], 'status', 'batch', 'grown', 'table')
local growth = cjson.decode(ARGV[3])
local open = tonumber(ARGV[1])

local function has(list, name)
  return string.find(',' .. list .. ',', ',' .. name .. ',', 1, true) ~= nil
end

local function record(...)
  tell({ KEYS[10] }, { ARGV[8], ... })
end

local function state_of(task)
  local stored = redis.call('HGET', KEYS[2], task)
  return stored and cjson.decode(stored)
end

local function has_started(task)
  local state = state_of(task)
  return redis.call('ZSCORE', KEYS[6], task) or (state and (state.attempt > 0 or not has(ARGV[4], state.status)))
end

local function is_as_it_was()
  if not meta[1] or has(ARGV[6], meta[1]) then return false end
  if meta[2] ~= ARGV[1] or (meta[3] or '0') ~= ARGV[2] then return false end
  for _, task in ipairs(growth.unlaunched) do
    if has_started(task) then return false end
  end
  return true
end

local function recount(name, from, to)
  redis.call('HINCRBY', KEYS[3], from .. ':' .. name, -1)
  redis.call('HINCRBY', KEYS[3], to .. ':' .. name, 1)
end

local function make_ready(task, rank, specialist)
  if specialist ~= '' then
    redis.call('ZADD', KEYS[5], rank, task)
  elseif redis.call('SADD', KEYS[9], task) == 1 then
    record('event', 'specialist_awaited', 'task', task)
  end
end

local function stop_waiting(task)
  local waited = false
  for _, class in ipairs(redis.call('HKEYS', KEYS[12])) do
    waited = redis.call('ZREM', KEYS[12] .. ':' .. class, task) == 1 or waited
  end
  return waited
end

local function place(task, rank, batch)
  local was, specialist = nil, growth.specialists[task]
  if not specialist then was, specialist = string.match(redis.call('HGET', KEYS[8], task), '^%d+:(%d+):(.*)$') end
  redis.call('HSET', KEYS[8], task, rank .. ':' .. batch .. ':' .. specialist)
  local waited = stop_waiting(task)
  if tonumber(was) == batch then
    -- The cascade looks anew whether it waits for a limit.
    redis.call('ZADD', KEYS[5], waited and 'CH' or 'XX', rank, task)
    return
  end
  local state = state_of(task)
  if state then
    if state.status ~= 'pending' then recount(state.status, state.batch, batch) end
    if state.resolved then recount('resolved', state.batch, batch) end
    state.batch = batch
    redis.call('HSET', KEYS[2], task, cjson.encode(state))
  end
  redis.call('ZREM', KEYS[5], task)
  redis.call('SREM', KEYS[9], task)
  if batch == open and (not state or state.status == 'pending') then make_ready(task, rank, specialist) end
end

local function end_batch(number)
  redis.call('HDEL', KEYS[4], number)
  for name in string.gmatch(ARGV[5], '[^,]+') do redis.call('HDEL', KEYS[3], number .. ':' .. name) end
end

-- The gates of the feature judged, or judge, work that is not all of it any more: they are to run again at the end.
local function withdraw_gates()
  for _, gates in ipairs({ '@testing', '@validating' }) do
    local state = state_of(gates)
    if state then
      stop_waiting(gates)
      redis.call('ZREM', KEYS[5], gates)
      redis.call('ZREM', KEYS[7], gates)
      if tonumber(redis.call('ZSCORE', KEYS[6], gates) or 0) > 0 then
        state.ending = true -- as in move.lua
      else
        redis.call('ZREM', KEYS[6], gates)
        if state.holds then redis.call('RPUSH', KEYS[13], cjson.encode({ gates, state.holds })) end
        state.holds = nil
      end
      state.status = 'pending'
      redis.call('HSET', KEYS[2], gates, cjson.encode(state))
    end
  end
end

local function follow()
  local target = (cjson.decode(meta[4])[ARGV[7]] or {})[meta[1]]
  if not target then return end
  redis.call('HSET', KEYS[1], 'status', target)
  record('event', ARGV[7], 'from', meta[1], 'to', target)
end

if not is_as_it_was() then return 'changed' end

for task, text in pairs(growth.tasks) do redis.call('HSET', KEYS[11], task, text) end
for task, where in pairs(growth.moved) do place(task, where[1], where[2]) end
for number, text in pairs(growth.batches) do redis.call('HSET', KEYS[4], number, text) end
for number, total in pairs(growth.totals) do redis.call('HSET', KEYS[3], number .. ':total', total) end
for _, number in ipairs(growth.ended) do end_batch(number) end
for field, value in pairs(growth.meta) do redis.call('HSET', KEYS[1], field, value) end
redis.call('HINCRBY', KEYS[1], 'grown', 1)
for _, event in ipairs(growth.events) do record(unpack(event)) end
if growth.added > 0 then
  withdraw_gates()
  follow()
end
return 'grown'
