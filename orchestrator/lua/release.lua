-- Let the next batch of a feature that waits for launch start.
--
-- KEYS  1 meta  2 events
-- ARGV  1 events kept
-- Output {code, batch}
--       "released"  the cascade may open batch number `batch`
--       "refused"   the feature does not wait for launch; `batch` holds its status
--       "missing"   no such feature
local meta = redis.call('HMGET', KEYS[1], 'status', 'batch')
if not meta[1] then return {'missing', ''} end
if meta[1] ~= 'on-hold' then return {'refused', meta[1]} end
local released = tonumber(meta[2]) + 1
redis.call('HSET', KEYS[1], 'released', released)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'event', 'launch_requested', 'batch', released)
return {'released', tostring(released)}
