-- Answer "what may start now?" and launch it: retries that are due, the next batch when the one before it is
-- resolved, then the ready tasks, in launch order, into the free slots. Last, the feature's status follows its tasks.
-- In dataflow a task is ready when all it depends on is resolved; batches are opened all the same, for reports.
-- A task is ready at its rank, in launch order; what a worker lost or handed back has had its turn, and is ready at a negative
-- one: it goes before all others of its feature, and of its priority where it waits for a limit.
-- A function of the stored state alone, so that any number of repetitions does no harm.
--
-- Where Celery's broker is this Redis, it also publishes what it launches (publish.lua).
--
-- KEYS  1 meta  2 states  3 counts  4 batches  5 ready  6 slots  7 delayed  8 plan  9 unassigned
--       10 events  11 active  12 waits  13 dependents  14 resolved (the last three: dataflow only)
--       15 finished  16 limits  17 waiting  18 freed  19 tasks
-- ARGV  1 feature id  2 statuses in which a feature is over, comma-separated  3 events kept
--       4 JSON {specialist: its queue, where that is not its name}; "": the caller publishes what was launched
--       5 prefix of the keys that all features share  6 statuses from which a worker takes a task up, comma-separated
--       7 random text, with which the ids of messages end
-- The cause of person_awaited is "review", "specialist", "launch" or "decision".
-- Output JSON: status, launched [[task, attempt, specialist], …], opened [batch, …], wake [feature, …] (whose cascade is
--       to run now, for a limit lets it go on); or nil where there is no such feature
local meta = redis.call('HMGET', KEYS[1], 'status', 'cap', 'batch', 'batches', 'auto_launch', 'released', 'total',
  'table', 'paused', 'stops', 'strategy', 'started', 'limited', 'resourced', 'trace')
local status = meta[1]
if not status then return nil end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local batch, batches = tonumber(meta[3]), tonumber(meta[4])
local paused = meta[9] == '1'
local dataflow = meta[11] == 'dataflow'
local launched, opened, fresh = {}, {}, {}
local queues = ARGV[4] ~= '' and cjson.decode(ARGV[4])
local places = {}
local amounts, stored = {}, redis.call('HGETALL', KEYS[16])
for place = 1, #stored, 2 do amounts[stored[place]] = stored[place + 1] end
local has_limits = next(amounts) or meta[13] or meta[14]
local limits = has_limits and limits({ KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[1], KEYS[5] },
  { ARGV[1], ARGV[5], time[1] * 1000 + time[2] / 1000, amounts, meta[13], meta[14] })

local function is_over()
  return string.find(',' .. ARGV[2] .. ',', ',' .. status .. ',', 1, true) ~= nil
end

local function record(...)
  tell({ KEYS[10] }, { ARGV[3], ... })
end

local function counts(...)
  local found = redis.call('HMGET', KEYS[3], ...)
  for place = 1, #found do found[place] = tonumber(found[place] or 0) end
  return unpack(found)
end

local function is_resolved(number)
  local resolved, total = counts(number .. ':resolved', number .. ':total')
  return resolved >= total
end

local function happen(event, cause)
  -- One row of the table is decoded, not all of it: this runs for each task that ends.
  local arrow = string.match(meta[8], '"' .. event .. '": (%b{})')
  local target = arrow and cjson.decode(arrow)[status]
  if not target then return end
  record('event', event, 'from', status, 'to', target, 'cause', cause or '')
  status = target
  redis.call('HSET', KEYS[1], 'status', status)
  if is_over() then
    redis.call('HSET', KEYS[1], 'finished', now)
    redis.call('SREM', KEYS[11], ARGV[1])
    redis.call('ZADD', KEYS[15], now, ARGV[1])
  end
end

local function state_of(task)
  local stored = redis.call('HGET', KEYS[2], task)
  return stored and cjson.decode(stored)
end

local function placed(task)
  places[task] = places[task] or redis.call('HGET', KEYS[8], task)
  local rank, its_batch, specialist = string.match(places[task], '^(%d+):(%d+):(.*)$')
  return tonumber(rank), tonumber(its_batch), specialist
end

local function make_ready(task)
  local rank, _, specialist = placed(task)
  if specialist == '' then
    if redis.call('SADD', KEYS[9], task) == 1 then record('event', 'specialist_awaited', 'task', task) end
  else
    redis.call('ZADD', KEYS[5], rank, task)
  end
end

-- So that a retry begins at its moment, and not at the sweep after it (see waker.py).
local function be_woken_at(moment)
  local due, entry = ARGV[5] .. ':due', 'retry:' .. ARGV[1]
  local is_changed = redis.call('ZADD', due, 'CH', moment, entry) == 1
  if is_changed and redis.call('ZRANGE', due, 0, 0)[1] == entry then redis.call('PUBLISH', ARGV[5] .. ':wake', entry) end
end

local function take_up_due_retries()
  local first = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
  while first[1] and tonumber(first[2]) <= now do
    redis.call('ZREM', KEYS[7], first[1])
    -- What has to wait for a dependency again is released by it.
    if not dataflow or redis.call('HEXISTS', KEYS[12], first[1]) == 0 then make_ready(first[1]) end
    first = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
  end
  if first[1] then be_woken_at(first[2]) end
end

local function take_its_turn(task)
  -- A task that a person held, deferred, cancelled, skipped or moved on before its turn has a state already.
  local state = state_of(task)
  if not state or string.find(',' .. ARGV[6] .. ',', ',' .. state.status .. ',', 1, true) then
    fresh[task] = state or 'new'
    make_ready(task)
  end
end

local function may_open(number)
  if dataflow then return true end
  if number <= tonumber(meta[6]) then return true end
  return meta[5] == '1' and not string.find(',' .. (meta[10] or '') .. ',', ',' .. number .. ',', 1, true)
end

local function open_batches()
  while batch < batches and (batch == 0 or is_resolved(batch)) do
    if not may_open(batch + 1) then return end
    batch = batch + 1
    opened[#opened + 1] = batch
    if batch == 1 or not dataflow then
      for _, task in ipairs(cjson.decode(redis.call('HGET', KEYS[4], batch)).tasks) do take_its_turn(task) end
    end
    redis.call('HSET', KEYS[1], 'batch', batch, 'batch_started', now)
    -- In dataflow a batch is held against the time since the start of the feature (see recover.lua).
    if not dataflow then redis.call('HSET', KEYS[1], 'overdue', 0, 'ran', 0) end
    record('event', 'batch_opened', 'batch', batch, 'total', (counts(batch .. ':total')))
  end
end

local function release(task)
  if redis.call('HINCRBY', KEYS[12], task, -1) > 0 then return end
  redis.call('HDEL', KEYS[12], task)
  local has_begun = redis.call('ZSCORE', KEYS[6], task) or redis.call('ZSCORE', KEYS[7], task)
  if not has_begun then take_its_turn(task) end
end

local function hold_up(task)
  redis.call('HINCRBY', KEYS[12], task, 1)
  redis.call('ZREM', KEYS[5], task)
  redis.call('SREM', KEYS[9], task)
  if limits then limits.wait_no_more(task) end
end

local function update_dependents()
  for _, entry in ipairs(redis.call('LRANGE', KEYS[14], 0, -1)) do
    local sign, task = string.match(entry, '^([+-])(.*)$')
    local dependents = redis.call('HGET', KEYS[13], task)
    for _, dependent in ipairs(dependents and cjson.decode(dependents) or {}) do
      if sign == '+' then release(dependent) else hold_up(dependent) end
    end
  end
  redis.call('DEL', KEYS[14])
end

local function give_back_what_was_launched()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', 0)) do
    local state = state_of(task)
    if state.holds then
      limits.give_back(task, state.holds)
      state.holds = nil
      redis.call('HSET', KEYS[2], task, cjson.encode(state))
    end
  end
end

local function launch(task)
  local _, its_batch, specialist = placed(task)
  local state = fresh[task] ~= 'new' and (fresh[task] or state_of(task))
    or { status = 'pending', attempt = 0, retried = 0, lost = 0, batch = its_batch }
  -- So that finish knows, without another read.
  if dataflow then state.dataflow = true end
  local queued = state.attempt == 0 and not fresh[task]
  state.attempt, state.sent = state.attempt + 1, nil
  if limits then state.holds = limits.take(task, specialist) end
  redis.call('HSET', KEYS[2], task, cjson.encode(state))
  redis.call('ZADD', KEYS[6], -now, task)
  record('event', 'task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch,
    unpack(queued and { 'cause', 'queued' } or {}))
  launched[#launched + 1] = { task, state.attempt, specialist }
  if queues then
    local queue = queues[specialist] or specialist
    publish({ ARGV[5] .. ':celery:' .. queue }, { ARGV[1], task, state, specialist, now, queue, meta[15], ARGV[7] })
  end
end

local function free_slots()
  return tonumber(meta[2]) - redis.call('ZCARD', KEYS[6])
end

local function fill_slots()
  local free = free_slots()
  if limits then
    limits.fill(free_slots, launch, function(task) return select(3, placed(task)) end)
  elseif free > 0 then
    local popped = redis.call('ZPOPMIN', KEYS[5], free)
    for place = 1, #popped, 2 do launch(popped[place]) end
  end
  local waiting = redis.call('ZCARD', KEYS[5])
  if #opened > 0 and waiting > 0 then
    record('event', 'at_capacity', 'batch', batch, 'in_flight', redis.call('ZCARD', KEYS[6]), 'waiting', waiting)
  end
end

local function is_idle()
  for key = 5, 7 do
    if redis.call('ZCARD', KEYS[key]) > 0 then return false end
  end
  return not (limits and limits.any_wait())
end

local function what_is_awaited()
  if counts('in-review') > 0 then return 'review' end
  if redis.call('SCARD', KEYS[9]) > 0 then return 'specialist' end
  if is_resolved(batch) then return 'launch' end
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
  for key = 5, 7 do
    if redis.call('ZSCORE', KEYS[key], gates) then return end
  end
  if limits and limits.is_waiting(gates) then return end
  make_ready(gates)
  fill_slots()
end

local function gates_failed()
  for _, gates in ipairs({ '@testing', '@validating' }) do
    local state = state_of(gates)
    if state and (state.status == 'failed' or state.status == 'blocked') then return true end
  end
  return false
end

local function follow_tasks()
  if meta[12] then happen('first_task_started') end
  local resolved, failed, blocked = counts('resolved', 'failed', 'blocked')
  if resolved >= tonumber(meta[7]) then
    if gates_failed() then return happen('task_stopped', 'gate') end
    happen('all_tasks_complete')
    pass_feature_gates('testing', 'feature_tests_passed')
    pass_feature_gates('validating', 'feature_validated')
  elseif failed + blocked > 0 then
    happen('task_stopped')
  elseif paused then
    -- What waits while a feature is paused waits for nobody; where its stop is resolved, the pause is what holds it.
    if status == 'blocked' then happen('feature_paused') end
  elseif is_idle() then
    happen('person_awaited', what_is_awaited())
  else
    happen('all_resolved')
  end
end

if limits then limits.give_back_what_ended() end
if not is_over() then
  take_up_due_retries()
  if not paused then
    open_batches()
    if dataflow then update_dependents() end
    fill_slots()
  elseif limits then
    limits.keep_waiting(false)
  end
  follow_tasks()
else
  -- An attempt that ends after the feature may ask for a retry; it gets none.
  redis.call('DEL', KEYS[5], KEYS[7], KEYS[9])
  if limits then
    limits.give_up()
    give_back_what_was_launched()
  end
  -- No worker has begun it, and none will.
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', 0)
end
if dataflow and is_over() then redis.call('UNLINK', KEYS[12], KEYS[13], KEYS[14]) end

return cjson.encode({ status = status, launched = launched, opened = opened, wake = limits and limits.wake() or {} })
