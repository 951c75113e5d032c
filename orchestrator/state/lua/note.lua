-- Keep what a running attempt says about its progress. Of what says nothing new there is no event, and of an attempt that
-- says much there are 20 at first, and fewer as it grows older (some 700 in a day): they are not to push out the story.
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
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_new = state.percent ~= tonumber(ARGV[3]) or (state.note or '') ~= ARGV[4]
local told, most = state.told or 0, 20 + 100 * math.log(1 + (now - state.started) / 100000)
local is_told = is_new and told < most
if is_told then state.told = told + 1 end
state.noted, state.percent, state.note = now, tonumber(ARGV[3]), ARGV[4]
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(state))
if is_told then
  tell({ KEYS[3] }, { ARGV[5], 'event', 'progress', 'task', ARGV[1], 'attempt', ARGV[2], 'percent', ARGV[3], 'note', ARGV[4] })
end
return 'noted'
