-- Be the one worker that sweeps, for a while; asking again prolongs it. A worker takes the lead from one of an older schema,
-- which leaves alone what newer ones wrote.
--
-- KEYS  1 sweeper  2 sweeper's schema  3 minimum
-- ARGV  1 worker  2 for how long, in ms  3 the schema that it knows
-- Output "leads", or why not
--       "follows"   another worker leads
--       "outdated"  it is too old to work under this prefix
local known = tonumber(ARGV[3])
if (tonumber(redis.call('GET', KEYS[3])) or 0) > known then return 'outdated' end
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] and (tonumber(redis.call('GET', KEYS[2])) or 1) >= known then return 'follows' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], known, 'PX', ARGV[2])
return 'leads'
