-- Keep the end of what a running attempt has put out, for whoever follows it from another machine; or drop it.
--
-- KEYS  1 states  2 slots  3 tails
-- ARGV  1 task  2 attempt  3 the tail, as encoding.py writes it, which begins with the attempt ("": drop that of the attempt)
-- Output "kept", "dropped", or "stale": the attempt does not run (any more), or the tail is another one's; nothing was changed
if ARGV[3] == '' then
  local kept = redis.call('HGET', KEYS[3], ARGV[1])
  if not kept or string.match(kept, '^%d+') ~= ARGV[2] then return 'stale' end
  redis.call('HDEL', KEYS[3], ARGV[1])
  return 'dropped'
end
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local held = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not stored or not held or tonumber(held) <= 0 then return 'stale' end
if cjson.decode(stored).attempt ~= tonumber(ARGV[2]) then return 'stale' end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
return 'kept'
