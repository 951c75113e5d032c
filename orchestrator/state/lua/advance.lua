-- Move on how far a notification has told a feature's events, unless somebody else has moved it since it was read.
--
-- KEYS  1 notified
-- ARGV  1 feature id  2 the event told of last, as it was read  3 the event told of last now ("": forget the feature)
-- Output "advanced", or "stale": another worker tells now; nothing was changed
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 'stale' end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 'advanced'
