-- The part of the scripts that move a task: count it where it stands, in its feature and in its batch. What is pending is
-- counted nowhere, nor are the gates of a feature.
--
-- KEYS  1 counts
-- ARGV  1 task  2 its batch  3 status, or "resolved"  4 by how much
-- Output nothing
local task, batch, name, by = unpack(ARGV)
if name == 'pending' or task == '@testing' or task == '@validating' then return end
redis.call('HINCRBY', KEYS[1], name, by)
redis.call('HINCRBY', KEYS[1], batch .. ':' .. name, by)
