-- Keep what a later attempt of an agent is told of the one that has just ended (finish.lua). One that waits for the
-- same as the one before is counted with it. Its conversation is forgotten where another tier goes on.
--
-- keys: agents
-- args: task earlier most goes_on
--   earlier  JSON of the attempt (see EarlierAttempt)
--   most     how many of them are kept, the newest
--   goes_on  "1": the next attempt may go on with its conversation
-- answer: how many are kept now; 0 where the commit was made before
if not commit.is_new then return 0 end
local field = 'earlier ' .. task
local kept = cjson.decode(redis.call('HGET', agents_key, field) or '[]')
local function is_alike(one, other)
  return one.status == 'retry-later' and one.status == other.status and one.tier == other.tier and one.reason == other.reason
end

local last, new = cjson.decode(kept[#kept] or '{}'), cjson.decode(earlier)
if is_alike(last, new) then
  new.times, new.seconds = (last.times or 1) + 1, (last.seconds or 0) + (new.seconds or 0)
  earlier = cjson.encode(new)
  table.remove(kept)
end
kept[#kept + 1] = earlier
while #kept > tonumber(most) do
  -- The oldest one that is kept has the time of those before it: so the sum stays.
  local gone, oldest = cjson.decode(table.remove(kept, 1)), cjson.decode(kept[1])
  oldest.seconds = (oldest.seconds or 0) + (gone.seconds or 0)
  kept[1] = cjson.encode(oldest)
end
redis.call('HSET', agents_key, field, cjson.encode(kept))
if goes_on ~= '1' then forget_session(task) end
return #kept
