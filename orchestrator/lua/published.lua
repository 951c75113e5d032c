-- Take out of the outbox what has been published.
--
-- KEYS  1 outbox
-- ARGV  task, attempt, task, attempt, …
-- Output how many entries were taken out; an entry of another attempt stays
local taken = 0
for place = 1, #ARGV, 2 do
  local entry = redis.call('HGET', KEYS[1], ARGV[place])
  if entry and string.match(entry, '^%d+') == ARGV[place + 1] then
    taken = taken + redis.call('HDEL', KEYS[1], ARGV[place])
  end
end
return taken
