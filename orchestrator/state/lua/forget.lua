-- Forget a feature that is over: all its keys, its idempotency key, its places in the indexes.
--
-- KEYS  1 meta  2 slots  3 features  4 active  5 finished  6 its idempotency key (or meta again where it has none)
--       7… every other key of the feature
-- ARGV  1 feature id  2 statuses in which a feature is over, comma-separated  3 how long it has to be over, in ms
--       4  1: only say what would become of it, and change nothing
-- Output {code, status}
--       "forgotten"  done
--       "refused"    it is not over; nothing was changed
--       "running"    it is over, but an attempt still runs; nothing was changed
--       "young"      it is over, but not for so long; nothing was changed
--       "missing"    no such feature; what was left of it is gone too
local status, finished = unpack(redis.call('HMGET', KEYS[1], 'status', 'finished'))
if status then
  if not string.find(',' .. ARGV[2] .. ',', ',' .. status .. ',', 1, true) then return {'refused', status} end
  if redis.call('ZCARD', KEYS[2]) > 0 then return {'running', status} end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if now - tonumber(finished or 0) < tonumber(ARGV[3]) then return {'young', status} end
end
if ARGV[4] == '1' then return {status and 'forgotten' or 'missing', status or ''} end

if KEYS[6] ~= KEYS[1] and redis.call('GET', KEYS[6]) == ARGV[1] then redis.call('DEL', KEYS[6]) end
redis.call('UNLINK', KEYS[1], KEYS[2], unpack(KEYS, 7))
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
return {status and 'forgotten' or 'missing', status or ''}
