-- Advance how far a notification has told a feature's events, unless another worker has advanced it since it
-- was read.
--
-- keys: notified
-- args: feature before after
--   before  the cursor as it was read: the last event that was sent
--   after   the new cursor ("": delete it)
-- answer: a code
--   "advanced"  done
--   "stale"     another worker has advanced it; nothing was changed
if redis.call('HGET', notified_key, feature) ~= before then return 'stale' end
if after == '' then redis.call('HDEL', notified_key, feature) else redis.call('HSET', notified_key, feature, after) end
return 'advanced'
