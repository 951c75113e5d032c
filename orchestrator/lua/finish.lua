-- End an attempt: commit its outcome, free its slot, count the task where it stands now.
--
-- KEYS  1 states  2 counts  3 slots  4 delayed  5 outcomes  6 events
-- ARGV  1 task  2 attempt  3 allowed statuses, comma-separated  4 new status  5 outcome JSON
--       6 wait before the next attempt in ms ("": no next attempt)  7 "1" where this counts as a retry
--       8 "1" where the task is resolved now  9 event  10 cause  11 events kept  12 worker
-- Output {code, status, batch, its tasks, resolved of them, stopped of them}; code and status alone where nothing
--       was changed
--       "finished"  committed
--       "repeated"  this attempt was committed before; nothing was changed
--       "stale"     a later attempt exists, or somebody else ended this one; nothing was changed
--       "refused"   the status does not allow it; nothing was changed
--       "missing"   no such feature or task
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return {'missing', ''} end

local state = cjson.decode(stored)
if state.attempt ~= tonumber(ARGV[2]) then return {'stale', state.status} end
if state.ended == state.attempt then return {'repeated', state.status} end
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return {'stale', state.status} end
if not string.find(',' .. ARGV[3] .. ',', ',' .. state.status .. ',', 1, true) then
  return {'refused', state.status}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local from = state.status
state.status, state.finished, state.ended, state.note = ARGV[4], now, state.attempt, nil
if ARGV[7] == '1' then state.retried = state.retried + 1 end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(state))
redis.call('HSET', KEYS[5], ARGV[1], ARGV[5])
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[6] ~= '' then redis.call('ZADD', KEYS[4], now + tonumber(ARGV[6]), ARGV[1]) end

local function recount(status, by)
  if status == 'pending' then return end
  redis.call('HINCRBY', KEYS[2], status, by)
  redis.call('HINCRBY', KEYS[2], state.batch .. ':' .. status, by)
end
recount(from, -1)
recount(state.status, 1)
if ARGV[8] == '1' then recount('resolved', 1) end
redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[11], '*', 'event', ARGV[9], 'task', ARGV[1], 'from', from,
  'to', state.status, 'attempt', state.attempt, 'cause', ARGV[10], 'worker', ARGV[12])

local function count(status)
  return tonumber(redis.call('HGET', KEYS[2], state.batch .. ':' .. status) or 0)
end
local stopped = count('failed') + count('blocked') + count('cancelled')
return {'finished', state.status, state.batch, count('total'), count('resolved'), stopped}
