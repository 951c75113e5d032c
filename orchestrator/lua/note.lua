-- Keep what a running attempt says about its progress.
--
-- KEYS  1 states  2 slots  3 events
-- ARGV  1 task  2 attempt  3 per cent done ("": unknown)  4 note  5 events kept
-- Output "noted", or "stale" where the attempt does not run (any more); nothing was changed then
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return 'stale' end
local state = cjson.decode(stored)
local held = redis.call('ZSCORE', KEYS[2], ARGV[1])
if state.attempt ~= tonumber(ARGV[2]) or not held or tonumber(held) <= 0 or state.ending then
  return 'stale'
end

local time = redis.call('TIME')
state.noted = time[1] * 1000 + math.floor(time[2] / 1000)
state.percent, state.note = tonumber(ARGV[3]), ARGV[4]
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(state))
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'event', 'progress', 'task', ARGV[1],
  'attempt', ARGV[2], 'percent', ARGV[3], 'note', ARGV[4])
return 'noted'
