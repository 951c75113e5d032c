-- Take what is due: the limits whose next token is, and the features of which a retry is.
--
-- KEYS  1 due
-- ARGV  1 prefix of all keys
-- Output {ms until the next one is due ("": nothing is awaited), [feature, …] whose cascade is to run now}
local time = redis.call('TIME')
local exact, wake = time[1] * 1000 + time[2] / 1000, {}
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', exact)) do
  redis.call('ZREM', KEYS[1], entry)
  local front = string.match(entry, '^retry:(.*)$') or redis.call('ZRANGE', ARGV[1] .. ':waiting:' .. entry, 0, 0)[1]
  if front then wake[#wake + 1] = string.match(front, '^%S+') end
end
local following = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return { following and string.format('%.3f', following - exact) or '', wake }
