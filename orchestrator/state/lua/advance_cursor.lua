-- Advance how far a notification has told a feature's events, unless another worker has advanced it since it was read.
--
-- keys: notified
-- args: feature before after
--   before  the last event that was told, as it was read
--   after   the last event that is told now ("": forget the feature)
-- answer: a code
--   "advanced"  done
--   "stale"     another worker tells now; nothing was changed
if redis.call('HGET', notified_key, feature) ~= before then return 'stale' end
if after == '' then redis.call('HDEL', notified_key, feature) else redis.call('HSET', notified_key, feature, after) end
return 'advanced'
