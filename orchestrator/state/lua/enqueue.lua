-- Make a staged feature visible, unless it or its idempotency key exists already.
--
-- keys: meta features active idempotency
-- args: feature prefix idempotency_ms staged parts fields
--   idempotency_ms  how long the idempotency key is kept (0: the feature has none; the key given is that of
--                   its meta)
--   staged          what the staged keys begin with
--   parts           JSON [name, …] of the staged keys
--   fields          JSON [field, value, …] of its meta
-- answer: {code, feature}
--   "enqueued"  it is visible now, by this call or by an earlier one with the same staged keys, whose answer was lost
--   "repeated"  the idempotency key was used before, for the feature in the answer; the staged keys are deleted
--   "exists"    a feature with this id exists; the staged keys are deleted
local names = cjson.decode(parts)
local function discard(code, found)
  is_refused = code ~= 'enqueued'
  for _, name in ipairs(names) do redis.call('UNLINK', staged .. name) end
  return {code, found}
end

if redis.call('HGET', meta_key, 'staged') == staged then return discard('enqueued', feature) end
local has_idempotency = tonumber(idempotency_ms) > 0
local earlier = has_idempotency and redis.call('GET', idempotency_key)
if earlier then return discard('repeated', earlier) end
if redis.call('EXISTS', meta_key) == 1 then return discard('exists', feature) end

-- They are written just before, in the same round trip: one of them may have been refused.
for _, name in ipairs(names) do
  if redis.call('EXISTS', staged .. name) == 0 then error('the part ' .. name .. ' is not staged', 0) end
end

redis.call('HSET', meta_key, 'created', now, 'staged', staged, unpack(cjson.decode(fields)))
close_meta()
for _, name in ipairs(names) do
  redis.call('RENAME', staged .. name, key_of(feature, name))
  redis.call('PERSIST', key_of(feature, name))
end
redis.call('ZADD', features_key, now, feature)
move_in_index(nil, redis.call('HGET', meta_key, 'status') or nil)
for _, tag in ipairs(tags_in(redis.call('HGET', meta_key, 'head'))) do redis.pcall('ZADD', shared('by-tag:' .. tag), now, feature) end
redis.call('SADD', active_key, feature)
if has_idempotency then redis.call('SET', idempotency_key, feature, 'PX', idempotency_ms) end
record('feature_enqueued', 'to', 'planning')
return {'enqueued', feature}
