-- Ask for the oldest schema whose workers may work under the prefix. A newer one that was asked for before
-- stays.
--
-- keys: minimum
-- args: oldest
-- answer: the oldest schema that is in force now
local minimum = tonumber(redis.call('GET', minimum_key)) or 0
if minimum >= tonumber(oldest) then return minimum end
redis.call('SET', minimum_key, oldest)
return tonumber(oldest)
