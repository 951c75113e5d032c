-- The part that stands before the scripts on one feature: end them before they begin, where a newer version wrote the feature,
-- or where the caller is too old for what is under the prefix (see schema.py).
--
-- KEYS  1 meta  2 minimum (left out by a caller that ends what it has begun, and by one that only reads)
-- ARGV  1 the schema that the caller knows
-- Output nil, or an error reply with the schema that is met: "NEWER 3", of the feature; "OUTDATED 3", of the prefix
local known = tonumber(ARGV[1])
local minimum = KEYS[2] and tonumber(redis.call('GET', KEYS[2])) or 0
if minimum > known then return redis.error_reply('OUTDATED ' .. minimum) end
local written = tonumber(redis.call('HGET', KEYS[1], 'schema')) or 1
if written > known then return redis.error_reply('NEWER ' .. written) end
return nil
