-- Take back what features hold that are gone, and count anew what is in use of each limit.
--
-- KEYS  1 limits  2 used
-- ARGV  1 prefix of all keys
-- Output the features whose cascade is to run now, for something that they wait for is free
local wake = {}
for _, limit in ipairs(redis.call('HKEYS', KEYS[1])) do
  local holders, total, known = ARGV[1] .. ':holders:' .. limit, 0, {}
  local stored = redis.call('HGETALL', holders)
  for place = 1, #stored, 2 do
    local feature = string.match(stored[place], '^[^:]+')
    if known[feature] == nil then known[feature] = redis.call('EXISTS', ARGV[1] .. ':{' .. feature .. '}:meta') == 1 end
    if known[feature] then total = total + stored[place + 1] else redis.call('HDEL', holders, stored[place]) end
  end
  if total ~= tonumber(redis.call('HGET', KEYS[2], limit) or 0) then
    redis.call('HSET', KEYS[2], limit, total)
    local front = redis.call('ZRANGE', ARGV[1] .. ':waiting:' .. limit, 0, 0)[1]
    if front then wake[#wake + 1] = string.match(front, '^%S+') end
  end
end
return wake
