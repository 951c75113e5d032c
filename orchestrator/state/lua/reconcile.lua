-- Take back what features hold that are gone, let them wait no more, and count anew what is in use of each limit.
--
-- KEYS  1 limits  2 used
-- ARGV  1 prefix of all keys
-- Output the features whose cascade is to run now, for something that they wait for is free
local wake, known = {}, {}

local function is_known(feature)
  if known[feature] == nil then known[feature] = redis.call('EXISTS', ARGV[1] .. ':{' .. feature .. '}:meta') == 1 end
  return known[feature]
end

for _, limit in ipairs(redis.call('HKEYS', KEYS[1])) do
  local holders, queue, total = ARGV[1] .. ':holders:' .. limit, ARGV[1] .. ':waiting:' .. limit, 0
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
  if total ~= tonumber(redis.call('HGET', KEYS[2], limit) or 0) then
    redis.call('HSET', KEYS[2], limit, total)
    is_changed = true
  end
  if front and is_changed then wake[#wake + 1] = string.match(front, '^%S+') end
end
return wake
