-- Check that this version may begin work under the prefix: it ends the scripts after it before they begin,
-- where a newer one asks for newer workers (see schema.py).
--
-- keys: minimum
-- first: minimum
-- args: known
--   known  the newest schema that the caller reads
-- answer: an error reply "OUTDATED 5", with the oldest schema that may work here; else nil, and the scripts
--   after it run
local minimum = tonumber(redis.call('GET', minimum_key)) or 0
if minimum > tonumber(known) then return redis.error_reply('OUTDATED ' .. minimum) end
return nil
