-- Delete a feature that is over: all its keys, its idempotency key, its entries in the indexes.
--
-- keys: meta slots features active finished idempotency
-- args: feature prefix parts over_ms dry_run
--   parts    JSON [name, …] of the feature's keys
--   over_ms  how long it must have been over
--   dry_run  "1": only answer what would happen, and change nothing
-- answer: {code, status}
--   "deleted"  done
--   "refused"  it is not over; nothing was changed
--   "running"  it is over, but an attempt still runs; nothing was changed
--   "young"    it has not been over for long enough; nothing was changed
--   "missing"  no such feature; any remaining keys of it are deleted too
local meta = read_meta('status', 'finished', 'head', 'locks')
local status = meta.status
if status then
  if not OVER[status] then return {'refused', status} end
  if redis.call('ZCARD', slots_key) > 0 then return {'running', status} end
  if now - tonumber(meta.finished or 0) < tonumber(over_ms) then return {'young', status} end
end
if dry_run == '1' then return {status and 'deleted' or 'missing', status or ''} end

-- If the feature has no idempotency key, the caller passes its meta key in its place.
if idempotency_key ~= meta_key and redis.call('GET', idempotency_key) == feature then redis.call('DEL', idempotency_key) end
for _, name in ipairs(cjson.decode(parts)) do redis.call('UNLINK', key_of(feature, name)) end
for lock = 1, tonumber(meta.locks or 0) do
  local limit = 'touch:' .. feature .. ':' .. lock
  redis.call('HDEL', shared('used'), limit)
  redis.call('DEL', shared('holders:' .. limit), shared('waiting:' .. limit))
end
redis.call('ZREM', features_key, feature)
move_in_index(status, nil)
for _, tag in ipairs(tags_in(meta.head)) do redis.pcall('ZREM', shared('by-tag:' .. tag), feature) end
redis.call('SREM', active_key, feature)
redis.call('ZREM', finished_key, feature)
return {status and 'deleted' or 'missing', status or ''}
