-- Delete a feature that is over: all its keys, its idempotency key, its places in the indexes.
--
-- keys: meta slots features active finished idempotency
-- args: feature prefix parts over_ms dry_run
--   parts    JSON [name, …] of the feature's keys
--   over_ms  how long it has to be over
--   dry_run  "1": only say what would become of it, and change nothing
-- answer: {code, status}
--   "deleted"  done
--   "refused"  it is not over; nothing was changed
--   "running"  it is over, but an attempt still runs; nothing was changed
--   "young"    it is over, but not for so long; nothing was changed
--   "missing"  no such feature; what was left of it is gone too
local meta = read_meta('status', 'finished')
local status = meta.status
if status then
  if not OVER[status] then return {'refused', status} end
  if redis.call('ZCARD', slots_key) > 0 then return {'running', status} end
  if now - tonumber(meta.finished or 0) < tonumber(over_ms) then return {'young', status} end
end
if dry_run == '1' then return {status and 'deleted' or 'missing', status or ''} end

-- One without an idempotency key is given that of its meta.
if idempotency_key ~= meta_key and redis.call('GET', idempotency_key) == feature then redis.call('DEL', idempotency_key) end
for _, name in ipairs(cjson.decode(parts)) do redis.call('UNLINK', key_of(feature, name)) end
redis.call('ZREM', features_key, feature)
redis.call('SREM', active_key, feature)
redis.call('ZREM', finished_key, feature)
return {status and 'deleted' or 'missing', status or ''}
