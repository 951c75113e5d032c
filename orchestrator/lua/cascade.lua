-- Answer "what may start now?" and launch it: retries that are due, the next batch when the one before it is
-- resolved, then the ready tasks, in launch order, into the free slots. Last, the feature's status follows its tasks.
-- In dataflow a task is ready when all it depends on is resolved; batches are opened all the same, for reports.
-- A function of the stored state alone, so that any number of repetitions does no harm.
--
-- KEYS  1 meta  2 states  3 counts  4 batches  5 ready  6 slots  7 delayed  8 outbox  9 plan  10 unassigned
--       11 events  12 active  13 waits  14 dependents  15 resolved (the last three: dataflow only)
-- ARGV  1 feature id  2 statuses in which a feature is over, comma-separated  3 events kept
-- The cause of person_awaited is "review", "specialist", "launch" or "decision".
-- Output JSON: status, launched [[task, attempt, specialist], …], opened [batch, …]; or nil where there is no such
--       feature
local meta = redis.call('HMGET', KEYS[1], 'status', 'cap', 'batch', 'batches', 'auto_launch', 'released', 'total',
  'table', 'paused', 'stops', 'strategy')
local status = meta[1]
if not status then return nil end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local batch, batches = tonumber(meta[3]), tonumber(meta[4])
local paused = meta[9] == '1'
local dataflow = meta[11] == 'dataflow'
local launched, opened, fresh = {}, {}, {}
local arrows

local function is_over()
  return string.find(',' .. ARGV[2] .. ',', ',' .. status .. ',', 1, true) ~= nil
end

local function record(...)
  redis.call('XADD', KEYS[11], 'MAXLEN', '~', ARGV[3], '*', ...)
end

local function count(field)
  return tonumber(redis.call('HGET', KEYS[3], field) or 0)
end

local function happen(event, cause)
  arrows = arrows or cjson.decode(meta[8])
  local target = arrows[event] and arrows[event][status]
  if not target then return end
  record('event', event, 'from', status, 'to', target, 'cause', cause or '')
  status = target
  redis.call('HSET', KEYS[1], 'status', status)
  if is_over() then
    redis.call('HSET', KEYS[1], 'finished', now)
    redis.call('SREM', KEYS[12], ARGV[1])
  end
end

local function state_of(task)
  local stored = redis.call('HGET', KEYS[2], task)
  return stored and cjson.decode(stored)
end

local function placed(task)
  local rank, its_batch, specialist = string.match(redis.call('HGET', KEYS[9], task), '^(%d+):(%d+):(.*)$')
  return tonumber(rank), tonumber(its_batch), specialist
end

local function make_ready(task)
  local rank, _, specialist = placed(task)
  if specialist == '' then
    if redis.call('SADD', KEYS[10], task) == 1 then record('event', 'specialist_awaited', 'task', task) end
  else
    redis.call('ZADD', KEYS[5], rank, task)
  end
end

local function take_up_due_retries()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now)) do
    redis.call('ZREM', KEYS[7], task)
    make_ready(task)
  end
end

local function take_its_turn(task)
  -- A task that a person held, deferred, cancelled or skipped before its turn has a state already.
  if redis.call('HEXISTS', KEYS[2], task) == 0 or state_of(task).status == 'pending' then
    fresh[task] = true
    make_ready(task)
  end
end

local function may_open(number)
  if dataflow then return true end
  if number <= tonumber(meta[6]) then return true end
  return meta[5] == '1' and not string.find(',' .. (meta[10] or '') .. ',', ',' .. number .. ',', 1, true)
end

local function open_batches()
  while batch < batches and (batch == 0 or count(batch .. ':resolved') >= count(batch .. ':total')) do
    if not may_open(batch + 1) then return end
    batch = batch + 1
    opened[#opened + 1] = batch
    if batch == 1 or not dataflow then
      for _, task in ipairs(cjson.decode(redis.call('HGET', KEYS[4], batch)).tasks) do take_its_turn(task) end
    end
    redis.call('HSET', KEYS[1], 'batch', batch, 'batch_started', now, 'overdue', 0)
    record('event', 'batch_opened', 'batch', batch, 'total', count(batch .. ':total'))
  end
end

local function release(task)
  if redis.call('HINCRBY', KEYS[13], task, -1) > 0 then return end
  redis.call('HDEL', KEYS[13], task)
  local has_begun = redis.call('ZSCORE', KEYS[6], task) or redis.call('ZSCORE', KEYS[7], task)
  if not has_begun then take_its_turn(task) end
end

local function hold_up(task)
  redis.call('HINCRBY', KEYS[13], task, 1)
  redis.call('ZREM', KEYS[5], task)
  redis.call('SREM', KEYS[10], task)
end

local function update_dependents()
  for _, entry in ipairs(redis.call('LRANGE', KEYS[15], 0, -1)) do
    local sign, task = string.match(entry, '^([+-])(.*)$')
    local dependents = redis.call('HGET', KEYS[14], task)
    for _, dependent in ipairs(dependents and cjson.decode(dependents) or {}) do
      if sign == '+' then release(dependent) else hold_up(dependent) end
    end
  end
  redis.call('DEL', KEYS[15])
end

local function launch(task)
  local _, its_batch, specialist = placed(task)
  local state = state_of(task) or { status = 'pending', attempt = 0, retried = 0, lost = 0, batch = its_batch }
  -- So that finish knows, without another read.
  if dataflow then state.dataflow = true end
  local queued = state.attempt == 0 and not fresh[task]
  state.attempt = state.attempt + 1
  redis.call('HSET', KEYS[2], task, cjson.encode(state))
  redis.call('ZADD', KEYS[6], 0, task)
  redis.call('HSET', KEYS[8], task, state.attempt .. ':' .. now)
  record('event', 'task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch,
    'cause', queued and 'queued' or '')
  launched[#launched + 1] = { task, state.attempt, specialist }
end

local function fill_slots()
  local free = tonumber(meta[2]) - redis.call('ZCARD', KEYS[6])
  if free > 0 then
    local popped = redis.call('ZPOPMIN', KEYS[5], free)
    for place = 1, #popped, 2 do launch(popped[place]) end
  end
  local waiting = redis.call('ZCARD', KEYS[5])
  if #opened > 0 and waiting > 0 then
    record('event', 'at_capacity', 'batch', batch, 'in_flight', redis.call('ZCARD', KEYS[6]), 'waiting', waiting)
  end
end

local function is_idle()
  return redis.call('ZCARD', KEYS[6]) + redis.call('ZCARD', KEYS[5]) + redis.call('ZCARD', KEYS[7]) == 0
end

local function what_is_awaited()
  if count('in-review') > 0 then return 'review' end
  if redis.call('SCARD', KEYS[10]) > 0 then return 'specialist' end
  if count(batch .. ':resolved') >= count(batch .. ':total') then return 'launch' end
  return 'decision'
end

-- The gates of a feature run as an attempt of a task of their own, "@testing" or "@validating", outside all counts.
local function pass_feature_gates(stage, passed)
  if status ~= stage then return end
  local gates = '@' .. stage
  local state = state_of(gates)
  if state and state.status == 'completed' then return happen(passed) end
  if state and state.status ~= 'pending' and state.status ~= 'in-progress' then
    return happen('task_stopped', 'gate')
  end
  if not (redis.call('ZSCORE', KEYS[6], gates) or redis.call('ZSCORE', KEYS[7], gates)) then launch(gates) end
end

local function gates_failed()
  for _, gates in ipairs({ '@testing', '@validating' }) do
    local state = state_of(gates)
    if state and (state.status == 'failed' or state.status == 'blocked') then return true end
  end
  return false
end

local function follow_tasks()
  if redis.call('HEXISTS', KEYS[1], 'started') == 1 then happen('first_task_started') end
  if count('resolved') >= tonumber(meta[7]) then
    if gates_failed() then return happen('task_stopped', 'gate') end
    happen('all_tasks_complete')
    pass_feature_gates('testing', 'feature_tests_passed')
    pass_feature_gates('validating', 'feature_validated')
  elseif count('failed') + count('blocked') > 0 then
    happen('task_stopped')
  elseif paused then
    return
  elseif is_idle() then
    happen('person_awaited', what_is_awaited())
  else
    happen('all_resolved')
  end
end

if not is_over() then
  take_up_due_retries()
  if not paused then
    open_batches()
    if dataflow then update_dependents() end
    fill_slots()
  end
  follow_tasks()
else
  -- An attempt that ends after the feature may ask for a retry; it gets none.
  redis.call('DEL', KEYS[5], KEYS[7], KEYS[10])
end
if dataflow and is_over() then redis.call('UNLINK', KEYS[13], KEYS[14], KEYS[15]) end

return cjson.encode({ status = status, launched = launched, opened = opened })
