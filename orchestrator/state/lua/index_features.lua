-- Put features into the index of statuses and tags as they stand now; one that is gone leaves it.
--
-- keys:
-- args: prefix features statuses
--   features  JSON [feature, …]
--   statuses  JSON [status, …], all there are
-- answer: nothing
local all = cjson.decode(statuses)
for _, id in ipairs(cjson.decode(features)) do
  local created = redis.call('ZSCORE', shared('features'), id)
  local meta = redis.pcall('HMGET', key_of(id, 'meta'), 'status', 'head')
  local status = created and meta[1]
  for _, other in ipairs(all) do
    if other ~= status then redis.pcall('ZREM', shared('by-status:' .. other), id) end
  end
  if status then redis.pcall('ZADD', shared('by-status:' .. status), created, id) end
  for _, tag in ipairs(tags_in(meta[2])) do
    if status then redis.pcall('ZADD', shared('by-tag:' .. tag), created, id) else redis.pcall('ZREM', shared('by-tag:' .. tag), id) end
  end
end
