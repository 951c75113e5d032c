-- The limit of a model, for all who use it: who is at work with it, until when it is closed, and how many may work with it when
-- it has opened again. It opens with half of those who were at work when it closed, and lets one more in for each
-- attempt that is completed, until there are as many as before.
--
-- keys: models
-- args: prefix model action holder ms
--   action  "enter", "leave", "completed" (it leaves, and its work is done), or "close"
--   holder  the attempt that enters or leaves, "feature:task:number"; it counts while it runs
--   ms      of close: until the limit opens again
-- answer: ms to wait before the next try; 0: it has entered, or it is done
local FULL = 5000 -- ms to wait where as many work as may

local held = shared('model:' .. model)
local stored = redis.call('HGET', models_key, model)
local limit = stored and cjson.decode(stored)

-- How many are at work. Those whose attempt has ended, or was lost, are forgotten.
local function count_held()
  local found = 0
  for _, entry in ipairs(redis.call('ZRANGE', held, 0, -1)) do
    if runs(string.match(entry, '^([^:]+):(.*):(%d+)$')) then
      found = found + 1
    else
      redis.call('ZREM', held, entry)
    end
  end
  return found
end

if action == 'enter' then
  if limit and now < limit.opens then return limit.opens - now end
  local is_full = limit and count_held() >= limit.cap
  if is_full and not redis.call('ZSCORE', held, holder) then return FULL end
  redis.call('ZADD', held, now, holder)
  return 0
end

if action == 'close' then
  local at_work = count_held()
  local is_closed = limit and now < limit.opens
  local cap = math.max(1, math.floor(at_work / 2))
  limit = limit or { opens = 0, before = 1 }
  limit.cap = is_closed and limit.cap or cap -- those who meet the same limit do not halve it again
  limit.before = math.max(limit.before, at_work)
  limit.opens = math.max(limit.opens, now + tonumber(ms))
  redis.call('HSET', models_key, model, cjson.encode(limit))
  return 0
end

redis.call('ZREM', held, holder)
if action == 'completed' and limit and now >= limit.opens then
  limit.cap = limit.cap + 1
  if limit.cap > limit.before then
    redis.call('HDEL', models_key, model)
  else
    redis.call('HSET', models_key, model, cjson.encode(limit))
  end
end
return 0
