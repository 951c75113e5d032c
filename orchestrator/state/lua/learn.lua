-- Keep how long a task took: how often it was completed, and its last durations, newest first (see sketch.py).
--
-- KEYS  1 durations
-- ARGV  1 specialist and task  2 duration in ms  3 durations kept  4 time in ms after which all of the hash is forgotten,
--       where nothing more is learned
-- Output none
local count, last = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '0 ', '^(%d+) (.*)$')
local kept = { ARGV[2] }
for duration in string.gmatch(last, '%d+') do
  if #kept < tonumber(ARGV[3]) then kept[#kept + 1] = duration end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', count + 1) .. table.concat(kept, ','))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
