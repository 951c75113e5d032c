-- Ask for the oldest schema whose workers may work under a prefix. What was asked for before, and is newer, stays.
--
-- KEYS  1 minimum
-- ARGV  1 the oldest schema
-- Output the oldest schema that may work here now
local minimum = tonumber(redis.call('GET', KEYS[1])) or 0
if minimum >= tonumber(ARGV[1]) then return minimum end
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[1])
