-- The index of features: a sorted set for each status and each tag, by the moment of their enqueue. If
-- somebody overwrites one of these keys, a list lacks features, and all of them still go on.
--
-- keys:

-- The tags of a feature, from its head.
local function tags_in(head)
  local is_json, found = pcall(cjson.decode, head or '{}')
  if not is_json or type(found) ~= 'table' or type(found.tags) ~= 'table' then return {} end
  return found.tags
end

-- Move the feature from one status to another; nil: it was in none, or goes out.
local function move_in_index(from, to)
  if from == to then return end
  local created = redis.pcall('ZSCORE', shared('features'), feature)
  if from then redis.pcall('ZREM', shared('by-status:' .. from), feature) end
  if to and type(created) == 'string' then redis.pcall('ZADD', shared('by-status:' .. to), created, feature) end
end
