-- Renew the lease of an attempt, or learn that it is held no longer.
--
-- KEYS  1 meta  2 states  3 slots
-- ARGV  1 task  2 attempt  3 lease in ms
-- Output "renewed", or why the holder should stop: "cancelled" (the feature is), "lost" (the attempt is not its
--       any more)
local stored = redis.call('HGET', KEYS[2], ARGV[1])
local held = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not stored or not held or tonumber(held) == 0 then return 'lost' end
if cjson.decode(stored).attempt ~= tonumber(ARGV[2]) then return 'lost' end

local time = redis.call('TIME')
redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3]), ARGV[1])
if redis.call('HGET', KEYS[1], 'status') == 'cancelled' then return 'cancelled' end
return 'renewed'
