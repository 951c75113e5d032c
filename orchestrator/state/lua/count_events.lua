-- Count what the events of a feature say for metrics, and advance how far they are counted, unless another
-- worker has advanced it since it was read. So each event is counted once.
--
-- keys: notified metrics
-- args: feature before after counts
--   before  the cursor as it was read: the last event that was counted
--   after   the new cursor
--   counts  JSON {field of metrics: by how much it grows}
-- answer: a code
--   "counted"  done
--   "stale"    another worker has advanced it; nothing was changed
if redis.call('HGET', notified_key, feature) ~= before then return 'stale' end
redis.call('HSET', notified_key, feature, after)
for field, by in pairs(cjson.decode(counts)) do redis.call('HINCRBY', metrics_key, field, by) end
return 'counted'
