-- The part of the scripts that tell what happened: write an event, and count the oldest ones that go for it.
-- Redis trims whole nodes of about a hundred entries.
--
-- KEYS  1 events
-- ARGV  1 events kept  2… fields and values
-- Output nothing
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
local gone = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1])
-- A count that cannot be kept (somebody wrote another type there) must not fail a script that has written already.
if gone > 0 then redis.pcall('INCRBY', KEYS[1] .. ':gone', gone) end
