-- Make a staged feature visible, unless it or its idempotency key exists already.
--
-- KEYS  1 meta  2 features  3 active  4 events  5 idempotency (or meta again where there is no key)
--       6… pairs: a staged key, and the key that it becomes
-- ARGV  1 feature id  2 idempotency ttl in ms (0: no key)  3 events kept  4… meta fields and values
-- Output {code, feature id}
--       "enqueued"  it is visible now
--       "repeated"  the idempotency key stands for the feature id returned; what was staged is gone
--       "exists"    a feature of this id exists; what was staged is gone
local function discard()
  for place = 6, #KEYS, 2 do redis.call('UNLINK', KEYS[place]) end
end

local ttl = tonumber(ARGV[2])
local earlier = ttl > 0 and redis.call('GET', KEYS[5])
if earlier then
  discard()
  return {'repeated', earlier}
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  discard()
  return {'exists', ARGV[1]}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'created', now, unpack(ARGV, 4))
for place = 6, #KEYS, 2 do
  redis.call('RENAME', KEYS[place], KEYS[place + 1])
  redis.call('PERSIST', KEYS[place + 1])
end
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
if ttl > 0 then redis.call('SET', KEYS[5], ARGV[1], 'PX', ttl) end
tell({ KEYS[4] }, { ARGV[3], 'event', 'feature_enqueued', 'to', 'planning' })
return {'enqueued', ARGV[1]}
