-- Take back what features hold that are gone, let them wait no more, and count again what is in use of each
-- limit.
--
-- keys: limits used
-- args: prefix
-- answer: the features to schedule now, because a limit that they wait for has room
local wake, known = {}, {}

local function is_known(id)
  if known[id] == nil then known[id] = redis.call('EXISTS', key_of(id, 'meta')) == 1 end
  return known[id]
end

for _, limit in ipairs(redis.call('HKEYS', limits_key)) do
  local holders = shared('holders:' .. limit)
  local queue = shared('waiting:' .. limit)
  local total = 0
  local stored = redis.call('HGETALL', holders)
  for place = 1, #stored, 2 do
    if is_known(string.match(stored[place], '^[^:]+')) then
      total = total + stored[place + 1]
    else
      redis.call('HDEL', holders, stored[place])
    end
  end
  local front, is_changed = redis.call('ZRANGE', queue, 0, 0)[1], false
  while front and not is_known(string.match(front, '^%S+')) do
    redis.call('ZREM', queue, front)
    front, is_changed = redis.call('ZRANGE', queue, 0, 0)[1], true
  end
  if total ~= tonumber(redis.call('HGET', used_key, limit) or 0) then
    redis.call('HSET', used_key, limit, total)
    is_changed = true
  end
  if front and is_changed then wake[#wake + 1] = string.match(front, '^%S+') end
end
return wake
