-- Renew the lease of an attempt, or learn that it is held no longer.
--
-- KEYS  1 meta  2 states  3 slots
-- ARGV  1 task  2 attempt  3 lease in ms  4 statuses in which a feature is over, comma-separated
--       5 the delivery that began it, as in start.lua ("": whichever did)
-- Output "renewed", or why the holder should stop: "cancelled" (the feature is over, or a person took
--       the attempt away; it keeps its lease until it has ended), "lost" (the attempt is not its
--       any more)
local stored = redis.call('HGET', KEYS[2], ARGV[1])
local held = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not stored or not held or tonumber(held) <= 0 then return 'lost' end
local state = cjson.decode(stored)
if state.attempt ~= tonumber(ARGV[2]) then return 'lost' end
if ARGV[5] ~= '' and state.delivery ~= ARGV[5] then return 'lost' end

local time = redis.call('TIME')
redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3]), ARGV[1])
if state.ending then return 'cancelled' end
local status = redis.call('HGET', KEYS[1], 'status')
if status and string.find(',' .. ARGV[4] .. ',', ',' .. status .. ',', 1, true) then return 'cancelled' end
return 'renewed'
