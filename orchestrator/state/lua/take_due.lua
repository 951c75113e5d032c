-- Take the entries that are due: rates with a new token, and features with a retry.
--
-- keys: due
-- args: prefix
-- answer: {ms until the next entry is due ("": there is none), [feature, …] to schedule now}
local wake = {}
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', due_key, '-inf', exact)) do
  redis.call('ZREM', due_key, entry)
  local front = string.match(entry, '^retry:(.*)$') or redis.call('ZRANGE', shared('waiting:' .. entry), 0, 0)[1]
  if front then wake[#wake + 1] = string.match(front, '^%S+') end
end
local following = redis.call('ZRANGE', due_key, 0, 0, 'WITHSCORES')[2]
return { following and string.format('%.3f', following - exact) or '', wake }
