-- Take a running attempt back from a worker that ends: its task is launched again at once, ahead of its queue, and no loss
-- is counted. A task that is not to run twice is blocked: a person is asked. One that was handed back too often fails.
--
-- KEYS  1 meta  2 states  3 counts  4 slots  5 ready  6 outcomes  7 events  8 plan  9 tasks
--       10 freed  11 delayed  12 resolved
-- ARGV  1 task  2 attempt  3 JSON {status: new status}, and its event in 4
--       5 the same of a task that is not to run twice, its event in 6, its outcome in 7
--       8 statuses in which a feature is over, comma-separated  9 worker, which has begun it
--       10 events kept  11 the delivery that began it, as in start.lua ("": whichever of this worker)
--       12 how often a task may be handed back  13 the same of one time more, its event in 14, its outcome in 15
-- Output {code, status}
--       "handed_back"  done; the cascade launches it
--       "ended"        a person took it away before: it frees what it held, and its task stays where it stands
--       "stale"        the attempt is not held (any more), or not by this worker; nothing was changed
local stored = redis.call('HGET', KEYS[2], ARGV[1])
local held = redis.call('ZSCORE', KEYS[4], ARGV[1])
if not stored or not held or tonumber(held) <= 0 then return {'stale', ''} end
local state = cjson.decode(stored)
if state.attempt ~= tonumber(ARGV[2]) then return {'stale', state.status} end
if state.worker ~= ARGV[9] then return {'stale', state.status} end
if ARGV[11] ~= '' and state.delivery ~= ARGV[11] then return {'stale', state.status} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if state.ending then
  retire({ KEYS[2], KEYS[3], KEYS[4], KEYS[11], KEYS[12], KEYS[10], KEYS[7] },
    { ARGV[1], state, now, 'worker-ends', ARGV[9], ARGV[10] })
  return {'ended', state.status}
end

local is_over = string.find(',' .. ARGV[8] .. ',', ',' .. redis.call('HGET', KEYS[1], 'status') .. ',', 1, true)
local described = redis.call('HGET', KEYS[9], ARGV[1])
local may_run_twice = not described or cjson.decode(described).idempotent ~= false
local from, event, arrow = state.status, ARGV[4], ARGV[3]

state.handed = (state.handed or 0) + 1
if is_over then
  -- Nothing of it runs again; the status of the feature says the rest.
elseif may_run_twice and state.handed > tonumber(ARGV[12]) then
  event, arrow = ARGV[14], ARGV[13]
  redis.call('HSET', KEYS[6], ARGV[1], ARGV[15])
elseif may_run_twice then
  -- Less than any rank (see cascade.lua).
  redis.call('ZADD', KEYS[5], string.match(redis.call('HGET', KEYS[8], ARGV[1]), '^%d+') - 1e9, ARGV[1])
else
  event, arrow = ARGV[6], ARGV[5]
  redis.call('HSET', KEYS[6], ARGV[1], ARGV[7])
end
state.status = cjson.decode(arrow)[from] or from
state.finished, state.note, state.percent, state.ahead = now, nil, nil, true
if state.holds then redis.call('RPUSH', KEYS[10], cjson.encode({ ARGV[1], state.holds })) end
state.holds = nil
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(state))
redis.call('ZREM', KEYS[4], ARGV[1])
recount({ KEYS[3] }, { ARGV[1], state.batch, from, -1 })
recount({ KEYS[3] }, { ARGV[1], state.batch, state.status, 1 })
tell({ KEYS[7] }, { ARGV[10], 'event', event, 'task', ARGV[1], 'from', from,
  'to', state.status, 'attempt', state.attempt, 'cause', 'worker-ends', 'worker', ARGV[9] })
return {'handed_back', state.status}
