-- Answer "what may start now?" and launch it: retries that are due, the next batch when the one before it is
-- resolved, then the ready tasks, in launch order, into the free slots. Last, the feature's status follows.
-- A function of the stored state alone, so that any number of repetitions does no harm.
--
-- KEYS  1 meta  2 states  3 counts  4 batches  5 ready  6 slots  7 delayed  8 outbox  9 routes  10 events
--       11 active
-- ARGV  1 feature id  2 the feature's transition table, JSON  3 events kept
-- Output JSON: status, launched [[task, attempt, specialist], …], opened [batch, …]; or nil where there is no such
--       feature
local meta = redis.call('HMGET', KEYS[1], 'status', 'cap', 'batch', 'batches', 'auto_launch', 'released', 'total')
local status = meta[1]
if not status then return nil end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local arrows = cjson.decode(ARGV[2])
local batch, batches = tonumber(meta[3]), tonumber(meta[4])
local launched, opened = {}, {}

local function record(...)
  redis.call('XADD', KEYS[10], 'MAXLEN', '~', ARGV[3], '*', ...)
end

local function count(field)
  return tonumber(redis.call('HGET', KEYS[3], field) or 0)
end

local function happen(event)
  local arrow = arrows[event]
  if not arrow.from[status] then return end
  record('event', event, 'from', status, 'to', arrow.to)
  status = arrow.to
  redis.call('HSET', KEYS[1], 'status', status)
  if event == 'all_tasks_complete' then
    redis.call('HSET', KEYS[1], 'finished', now)
    redis.call('SREM', KEYS[11], ARGV[1])
  end
end

local function take_up_due_retries()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now)) do
    redis.call('ZREM', KEYS[7], task)
    redis.call('ZADD', KEYS[5], cjson.decode(redis.call('HGET', KEYS[2], task)).rank, task)
  end
end

local function open_batches()
  local may_open = meta[5] == '1' and batches or tonumber(meta[6])
  while batch < batches and (batch == 0 or count(batch .. ':resolved') >= count(batch .. ':total')) do
    if batch >= may_open then return happen('launch_awaited') end
    batch = batch + 1
    opened[#opened + 1] = batch
    local rank = count('ranked')
    local tasks = cjson.decode(redis.call('HGET', KEYS[4], batch)).tasks
    for place, task in ipairs(tasks) do redis.call('ZADD', KEYS[5], rank + place, task) end
    redis.call('HSET', KEYS[3], 'ranked', rank + #tasks)
    redis.call('HSET', KEYS[1], 'batch', batch, 'batch_started', now)
    record('event', 'batch_opened', 'batch', batch)
    happen('batch_launched')
  end
end

local function fill_slots()
  local free = tonumber(meta[2]) - redis.call('ZCARD', KEYS[6])
  if free <= 0 then return end
  local popped = redis.call('ZPOPMIN', KEYS[5], free)
  for place = 1, #popped, 2 do
    local task, rank = popped[place], tonumber(popped[place + 1])
    local stored = redis.call('HGET', KEYS[2], task)
    local state = stored and cjson.decode(stored) or { status = 'pending', attempt = 0, retried = 0, lost = 0 }
    state.attempt, state.rank, state.batch = state.attempt + 1, rank, state.batch or batch
    redis.call('HSET', KEYS[2], task, cjson.encode(state))
    redis.call('ZADD', KEYS[6], 0, task)
    redis.call('HSET', KEYS[8], task, state.attempt .. ':' .. now)
    record('event', 'task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch)
    launched[#launched + 1] = { task, state.attempt, redis.call('HGET', KEYS[9], task) }
  end
end

local function follow_tasks()
  if redis.call('HEXISTS', KEYS[1], 'started') == 1 then happen('first_task_started') end
  if count('resolved') >= tonumber(meta[7]) then return happen('all_tasks_complete') end
  local stopped = count('failed') + count('blocked') + count('cancelled')
  happen(stopped > 0 and 'task_stopped' or 'all_resolved')
end

if arrows['feature_cancelled'].from[status] then
  take_up_due_retries()
  open_batches()
  fill_slots()
  follow_tasks()
else
  -- An attempt that ends after the cancel may ask for a retry; it gets none.
  redis.call('DEL', KEYS[5], KEYS[7])
end

return cjson.encode({ status = status, launched = launched, opened = opened })
