-- Cancel a feature: nothing more starts, and whoever runs one of its tasks is told at the next renewal.
--
-- KEYS  1 meta  2 ready  3 delayed  4 events  5 active  6 slots
-- ARGV  1 feature id  2 allowed statuses, comma-separated  3 new status  4 event  5 note  6 events kept
-- Output {code, status}
--       "cancelled"  done
--       "refused"    the status does not allow it; nothing was changed
--       "missing"    no such feature
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return {'missing', ''} end
if not string.find(',' .. ARGV[2] .. ',', ',' .. status .. ',', 1, true) then return {'refused', status} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'finished', now)
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[6], '*', 'event', ARGV[4], 'from', status, 'to', ARGV[3],
  'cause', ARGV[5])
if redis.call('ZCARD', KEYS[6]) == 0 then redis.call('SREM', KEYS[5], ARGV[1]) end
return {'cancelled', ARGV[3]}
