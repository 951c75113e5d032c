-- Take back what a lost worker held (a task that is not to run twice is blocked: a person is asked), find launches whose
-- message was lost, and notice a batch that is overdue.
-- Where nobody has looked for more than half a lease, Redis was away, or all who look: then whoever holds an attempt could
-- not renew its lease either, and nothing is taken back before all have had the time to do it.
-- A message is taken for lost when a later one of its specialist was taken up, or when its queue is empty (or cannot be
-- seen) and it is not started: after the patience, then after twice as long, up to 16 times.
--
-- A batch is overdue against its estimates, under the cap. Only time counts in which it could go on: not while it is
-- paused, while persons hold up all that is left of it, while its tasks wait for limits, or while nobody looked.
--
-- KEYS  1 meta  2 states  3 counts  4 slots  5 ready  6 taken  7 outcomes  8 events  9 active  10 plan  11 batches
--       12 tasks  13 swept  14 freed  15 delayed  16 waiting  17 resolved
-- ARGV  1 feature id  2 attempts that may be lost before the task fails  3 patience with a message in ms
--       4 JSON {status: new status} of a loss, and its event in 5  6 the same of the last loss, and its event in 7
--       8 outcome JSON of the last loss  9 how many times its expected duration a batch may take
--       10 statuses in which a feature is over, comma-separated  11 events kept
--       12 JSON {specialist: its queue, where that is not its name}; "": the broker is another one
--       13 JSON {status: new status} of the loss of a task that is not to run twice, its event in 14, its outcome in 15
--       16 lease in ms  17 time in ms that all are given to renew their leases
--       18 JSON {queue: true}: the queues that had messages when the sweep began, before it sent any
--       19 how much longer a batch may take than expected in any case, in ms  20 prefix of the keys that all features share
--       21 random text, with which the ids of messages end
-- Output JSON: lost [[task, attempt, status], …], unpublished [[task, attempt, specialist], …], for the caller to publish
--       again, where the broker is another one; or nil where there is no such feature
local meta = redis.call('HMGET', KEYS[1], 'status', 'batch', 'batch_started', 'overdue', 'paused', 'ran', 'watched', 'cap',
  'trace')
local status = meta[1]
if not status then
  redis.call('SREM', KEYS[9], ARGV[1])
  return nil
end
local is_over = string.find(',' .. ARGV[10] .. ',', ',' .. status .. ',', 1, true)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost, unpublished = {}, {}

local function record(...)
  tell({ KEYS[8] }, { ARGV[11], ... })
end

local function rank_of(task)
  return tonumber(string.match(redis.call('HGET', KEYS[10], task), '^%d+'))
end

local function may_run_twice(task)
  local described = redis.call('HGET', KEYS[12], task)
  return not described or cjson.decode(described).idempotent ~= false
end

local function lose(task)
  local state = cjson.decode(redis.call('HGET', KEYS[2], task))
  if state.ending then
    return retire({ KEYS[2], KEYS[3], KEYS[4], KEYS[15], KEYS[17], KEYS[14], KEYS[8] },
      { task, state, now, 'worker-lost', state.worker, ARGV[11] })
  end
  local from, event, arrow = state.status, ARGV[5], ARGV[4]
  state.lost, state.finished, state.note, state.ahead = state.lost + 1, now, nil, true
  if state.holds then redis.call('RPUSH', KEYS[14], cjson.encode({ task, state.holds })) end
  state.holds = nil
  local outcome
  if not is_over and not may_run_twice(task) then
    event, arrow, outcome = ARGV[14], ARGV[13], ARGV[15]
  elseif state.lost > tonumber(ARGV[2]) then
    event, arrow, outcome = ARGV[7], ARGV[6], ARGV[8]
  end
  state.status = cjson.decode(arrow)[from] or from
  if outcome then
    redis.call('HSET', KEYS[7], task, outcome)
  elseif not is_over then
    -- Less than any rank (see cascade.lua).
    redis.call('ZADD', KEYS[5], rank_of(task) - 1e9, task)
  end
  recount({ KEYS[3] }, { task, state.batch, from, -1 })
  recount({ KEYS[3] }, { task, state.batch, state.status, 1 })
  redis.call('HSET', KEYS[2], task, cjson.encode(state))
  redis.call('ZREM', KEYS[4], task)
  record('event', event, 'task', task, 'from', from, 'to', state.status, 'attempt', state.attempt,
    'cause', 'worker-lost', 'worker', state.worker)
  lost[#lost + 1] = { task, state.attempt, state.status }
end

local queues = ARGV[12] ~= '' and cjson.decode(ARGV[12])
local function queue_of(specialist)
  return queues[specialist] or specialist
end

local queued = cjson.decode(ARGV[18])
local function look_for_message(task)
  local specialist = string.match(redis.call('HGET', KEYS[10], task), '^%d+:%d+:(.*)$')
  local state = cjson.decode(redis.call('HGET', KEYS[2], task))
  local launched = -redis.call('ZSCORE', KEYS[4], task)
  local is_overtaken = tonumber(redis.call('HGET', KEYS[6], specialist) or 0) > launched
  local is_silent = now - launched > tonumber(ARGV[3]) * 2 ^ math.min(state.sent or 0, 4)
  local is_queued = queues and queued[queue_of(specialist)]
  if not is_overtaken and (not is_silent or is_queued) then return end
  state.sent = (state.sent or 0) + 1
  redis.call('HSET', KEYS[2], task, cjson.encode(state))
  redis.call('ZADD', KEYS[4], -now, task)
  record('event', 'message_lost', 'task', task, 'attempt', state.attempt)
  if queues then
    local queue = queue_of(specialist)
    publish({ ARGV[20] .. ':celery:' .. queue }, { ARGV[1], task, state, specialist, now, queue, meta[9], ARGV[21] })
  else
    unpublished[#unpublished + 1] = { task, state.attempt, specialist }
  end
end

local AWAIT_A_PERSON = { 'failed', 'blocked', 'on-hold', 'deferred', 'in-review' }

local function may_go_on()
  if meta[5] == '1' or redis.call('HLEN', KEYS[16]) > 0 then return false end
  local is_busy = redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[5]) + redis.call('ZCARD', KEYS[15]) > 0
  if not is_busy then return false end
  local fields = { meta[2] .. ':total', meta[2] .. ':resolved' }
  for _, status in ipairs(AWAIT_A_PERSON) do fields[#fields + 1] = meta[2] .. ':' .. status end
  local counts = redis.call('HMGET', KEYS[3], unpack(fields))
  local open = tonumber(counts[1] or 0)
  for place = 2, #counts do open = open - tonumber(counts[place] or 0) end
  return open > 0
end

local function count_time()
  local since = math.max(tonumber(meta[7] or 0), tonumber(meta[3]))
  local ran = tonumber(meta[6] or 0)
  -- A gap longer than a lease is an outage of Redis, or of all who look.
  if may_go_on() then ran = ran + math.min(now - since, tonumber(ARGV[16])) end
  redis.call('HSET', KEYS[1], 'ran', ran, 'watched', now)
  return ran
end

local function notice_overdue_batch()
  local described = meta[3] and redis.call('HGET', KEYS[11], meta[2])
  local batch = described and cjson.decode(described)
  if not batch or not batch.due then return end
  local ran = count_time()
  -- A cap that is lower than planned makes it longer, at most by this.
  local expected = batch.due * 1000 * math.max(1, batch.cap / tonumber(meta[8]))
  -- Said again each time that it has taken half as long again.
  local late = math.max(expected * tonumber(ARGV[9]), expected + tonumber(ARGV[19]))
  if ran < late * 1.5 ^ tonumber(meta[4] or 0) then return end
  redis.call('HINCRBY', KEYS[1], 'overdue', 1)
  record('event', 'batch_overdue', 'batch', meta[2], 'ran', ran, 'expected', math.floor(expected))
end

local function may_take_back()
  local looked, patient = unpack(redis.call('HMGET', KEYS[13], 'looked', 'patient'))
  if looked and now - looked > ARGV[16] / 2 then
    patient = now + ARGV[17]
    redis.call('HSET', KEYS[13], 'patient', patient)
  end
  redis.call('HSET', KEYS[13], 'looked', now)
  return now >= tonumber(patient or 0)
end

if may_take_back() then
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '(0', now)) do lose(task) end
end

local patience = tonumber(ARGV[3])
-- The last launched first: what is sent again goes ahead of its queue, so the one sent last is the next to be taken.
local function last_launched_first(one, other)
  local first, second = redis.call('ZSCORE', KEYS[4], one), redis.call('ZSCORE', KEYS[4], other)
  if first ~= second then return tonumber(first) < tonumber(second) end
  return rank_of(one) > rank_of(other)
end
local unstarted = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. patience - now, '0')
table.sort(unstarted, last_launched_first)
for _, task in ipairs(unstarted) do look_for_message(task) end

if is_over then
  if redis.call('ZCARD', KEYS[4]) == 0 then redis.call('SREM', KEYS[9], ARGV[1]) end
else
  notice_overdue_batch()
end
return cjson.encode({ lost = lost, unpublished = unpublished })
