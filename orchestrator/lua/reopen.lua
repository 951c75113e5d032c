-- Make a stopped task ready again, because a person asked for it.
--
-- KEYS  1 meta  2 states  3 counts  4 ready  5 events
-- ARGV  1 task  2 allowed statuses, comma-separated  3 new status  4 event  5 note  6 events kept
-- Output {code, status}
--       "reopened"  the task is ready; the cascade launches it when a slot is free
--       "refused"   the status does not allow it; nothing was changed
--       "over"      the feature is over; nothing was changed
--       "missing"   no such feature, or the task was never launched
local feature = redis.call('HGET', KEYS[1], 'status')
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if not feature or not stored then return {'missing', ''} end
if feature == 'completed' or feature == 'cancelled' or feature == 'archived' then return {'over', feature} end

local state = cjson.decode(stored)
if not string.find(',' .. ARGV[2] .. ',', ',' .. state.status .. ',', 1, true) then
  return {'refused', state.status}
end

local from = state.status
state.status, state.retried, state.lost, state.finished = ARGV[3], 0, 0, nil
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(state))
redis.call('HINCRBY', KEYS[3], from, -1)
redis.call('HINCRBY', KEYS[3], state.batch .. ':' .. from, -1)
redis.call('ZADD', KEYS[4], state.rank, ARGV[1])
redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[6], '*', 'event', ARGV[4], 'task', ARGV[1], 'from', from,
  'to', state.status, 'cause', ARGV[5])
return {'reopened', state.status}
