-- Check that this version can read a feature: it ends the scripts after it before they begin, where a newer
-- one wrote it (see schema.py).
--
-- first: meta
-- args: known
--   known  the newest schema that the caller reads
-- answer: an error reply "NEWER 5", with the schema of the feature; else nil, and the scripts after it run
local meta = open_meta()
if not meta.status then return nil, tonumber(known) end
local written = tonumber(meta.schema) or 1
if written > tonumber(known) then return redis.error_reply('NEWER ' .. written) end
return nil, written
