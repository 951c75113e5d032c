-- Begin an attempt: the worker that asks becomes its holder, with a lease.
--
-- KEYS  1 meta  2 states  3 counts  4 slots  5 outbox  6 tasks  7 events
-- ARGV  1 task  2 attempt  3 allowed statuses, comma-separated  4 new status  5 lease in ms  6 worker
--       7 events kept  8 event
-- Output {code, task JSON, feature head JSON, retried, feature status}
--       "started"   the caller holds the attempt
--       "over"      the feature is cancelled; the slot is free again
--       "stale"     a later attempt exists, or this one has ended
--       "held"      a live lease for this attempt exists: a duplicate delivery
--       "missing"   no such feature or task
local meta = redis.call('HMGET', KEYS[1], 'status', 'head')
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if not meta[1] or not stored then return {'missing'} end

local state = cjson.decode(stored)
if state.attempt ~= tonumber(ARGV[2]) or not redis.call('ZSCORE', KEYS[4], ARGV[1]) then return {'stale'} end
if meta[1] == 'cancelled' then
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('HDEL', KEYS[5], ARGV[1])
  return {'over'}
end
if not string.find(',' .. ARGV[3] .. ',', ',' .. state.status .. ',', 1, true) then return {'held'} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local from = state.status
state.status, state.started, state.worker, state.finished = ARGV[4], now, ARGV[6], nil
state.percent, state.note, state.noted = nil, nil, nil
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(state))
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[5]), ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('HSETNX', KEYS[1], 'started', now)
redis.call('HINCRBY', KEYS[3], state.status, 1)
redis.call('HINCRBY', KEYS[3], state.batch .. ':' .. state.status, 1)
redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[7], '*', 'event', ARGV[8], 'task', ARGV[1], 'from', from,
  'to', state.status, 'attempt', state.attempt, 'worker', ARGV[6])
return {'started', redis.call('HGET', KEYS[6], ARGV[1]), meta[2], state.retried, meta[1]}
