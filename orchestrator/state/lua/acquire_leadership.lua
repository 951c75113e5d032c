-- Become the one worker that sweeps, for a while; asking again prolongs it. A worker takes the lead from one
-- of an older schema, which leaves alone what newer ones wrote.
--
-- keys: sweeper sweeper_schema minimum
-- args: worker milliseconds known
--   known  the schema that the worker knows
-- answer: a code
--   "leads"     it sweeps now
--   "follows"   another worker leads
--   "outdated"  it is too old to work under this prefix
known = tonumber(known)
if (tonumber(redis.call('GET', minimum_key)) or 0) > known then return 'outdated' end
local leader = redis.call('GET', sweeper_key)
local schema = tonumber(redis.call('GET', sweeper_schema_key)) or 1
if leader and leader ~= worker and schema >= known then return 'follows' end
redis.call('SET', sweeper_key, worker, 'PX', milliseconds)
redis.call('SET', sweeper_schema_key, known, 'PX', milliseconds)
return 'leads'
