-- Set the amounts of limits: to those of the configuration, or to those that an operator wants now.
--
-- keys: limits configured used active
-- args: prefix amounts how
--   amounts  JSON {limit: its amount, as in the key `limits`; "": remove the limit}
--   how      "configure": `amounts` has all configured limits; change those that differ from the last configuration
--            "reset": `amounts` has all configured limits; change all that differ from it
--            "set": change these limits, and no others
-- answer: the features to schedule now, because they wait for a changed limit
local wanted, stored = cjson.decode(amounts), redis.call('HGETALL', limits_key)
local before, changes, wake = {}, {}, {}
for place = 1, #stored, 2 do before[stored[place]] = stored[place + 1] end

local function change(from)
  for limit, amount in pairs(wanted) do
    if (from[limit] or '') ~= amount then changes[limit] = amount end
  end
  for limit in pairs(from) do
    if not wanted[limit] then changes[limit] = '' end
  end
end

if how == 'set' then
  changes = wanted
else
  local configured = redis.call('GET', configured_key) or '{}'
  if how == 'configure' and configured == amounts then return {} end
  change(how == 'reset' and before or cjson.decode(configured))
  if next(wanted) then redis.call('SET', configured_key, amounts) else redis.call('DEL', configured_key) end
end

-- A task that was launched before the limit existed holds a unit of it from now on.
local function hold(id, task, limit)
  local state = cjson.decode(redis.call('HGET', key_of(id, 'states'), task) or 'false')
  if not state or (state.holds and state.holds[limit]) then return end
  state.holds = state.holds or {}
  state.holds[limit] = 1
  redis.call('HSET', key_of(id, 'states'), task, cjson.encode(state))
  redis.call('HSET', shared('holders:' .. limit), id .. ':' .. task, 1)
  redis.call('HINCRBY', used_key, limit, 1)
end

-- A new limit counts the tasks that are in flight already.
local function count(limit)
  local specialist = string.match(limit, '^specialist:(.*)$')
  if not specialist and limit ~= 'total' then return end
  for _, id in ipairs(redis.call('SMEMBERS', active_key)) do
    local is_over = OVER[redis.call('HGET', key_of(id, 'meta'), 'status')]
    for _, task in ipairs(redis.call('ZRANGE', key_of(id, 'slots'), is_over and '(0' or '-inf', '+inf', 'BYSCORE')) do
      local does = string.match(redis.call('HGET', key_of(id, 'plan'), task) or '', '^%d+:%d+:(.*)$')
      if limit == 'total' or does == specialist then hold(id, task, limit) end
    end
  end
end

for limit, amount in pairs(changes) do
  if amount == '' then redis.call('HDEL', limits_key, limit) else redis.call('HSET', limits_key, limit, amount) end
  if amount ~= '' and not before[limit] then count(limit) end
  -- Wake the front of the queue, and the classes that stood aside because they needed more than the whole limit.
  local queue = shared('waiting:' .. limit)
  local woken = redis.call('ZRANGE', queue, 0, 0)
  for _, aside in ipairs(redis.call('ZRANGE', queue, ASIDE, '+inf', 'BYSCORE')) do woken[#woken + 1] = aside end
  for _, entry in ipairs(woken) do wake[#wake + 1] = string.match(entry, '^%S+') end
end
return wake
