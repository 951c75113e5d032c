-- Say how much there is of limits: as they are configured, or as an operator wants it now.
--
-- KEYS  1 limits  2 configured  3 used  4 active
-- ARGV  1 prefix of all keys  2 JSON {limit: how much, as `limits` holds it; "": no such limit}
--       3 "configure": all that are configured; what differs from what was configured last is changed
--         "reset": the same, and everything becomes as configured
--         "set": these are changed, no others
--       4 statuses in which a feature is over, comma-separated
-- Output the features whose cascade is to run now, for they wait for a limit that changed
local wanted, stored = cjson.decode(ARGV[2]), redis.call('HGETALL', KEYS[1])
local limits, changes, wake = {}, {}, {}
for place = 1, #stored, 2 do limits[stored[place]] = stored[place + 1] end

local function change(from)
  for limit, amount in pairs(wanted) do
    if (from[limit] or '') ~= amount then changes[limit] = amount end
  end
  for limit in pairs(from) do
    if not wanted[limit] then changes[limit] = '' end
  end
end

if ARGV[3] == 'set' then
  changes = wanted
else
  local configured = redis.call('GET', KEYS[2]) or '{}'
  if ARGV[3] == 'configure' and configured == ARGV[2] then return {} end
  change(ARGV[3] == 'reset' and limits or cjson.decode(configured))
  if next(wanted) then redis.call('SET', KEYS[2], ARGV[2]) else redis.call('DEL', KEYS[2]) end
end

local function is_over(keys)
  local status = redis.call('HGET', keys .. 'meta', 'status') or ''
  return string.find(',' .. ARGV[4] .. ',', ',' .. status .. ',', 1, true)
end

-- A limit that is new counts what is in flight already.
local function count(limit)
  local specialist = string.match(limit, '^specialist:(.*)$')
  if not specialist and limit ~= 'total' then return end
  for _, feature in ipairs(redis.call('SMEMBERS', KEYS[4])) do
    local keys = ARGV[1] .. ':{' .. feature .. '}:'
    for _, task in ipairs(redis.call('ZRANGE', keys .. 'slots', is_over(keys) and '(0' or '-inf', '+inf', 'BYSCORE')) do
      local stored = redis.call('HGET', keys .. 'states', task)
      local does = string.match(redis.call('HGET', keys .. 'plan', task) or '', '^%d+:%d+:(.*)$')
      local state = stored and cjson.decode(stored)
      if state and (limit == 'total' or does == specialist) and not (state.holds and state.holds[limit]) then
        state.holds = state.holds or {}
        state.holds[limit] = 1
        redis.call('HSET', keys .. 'states', task, cjson.encode(state))
        redis.call('HSET', ARGV[1] .. ':holders:' .. limit, feature .. ':' .. task, 1)
        redis.call('HINCRBY', KEYS[3], limit, 1)
      end
    end
  end
end

for limit, amount in pairs(changes) do
  if amount == '' then redis.call('HDEL', KEYS[1], limit) else redis.call('HSET', KEYS[1], limit, amount) end
  if amount ~= '' and not limits[limit] then count(limit) end
  -- The front, and those that stand aside because they need more than there was (see cascade.lua).
  local queue = ARGV[1] .. ':waiting:' .. limit
  local woken = redis.call('ZRANGE', queue, 0, 0)
  for _, aside in ipairs(redis.call('ZRANGE', queue, 9e12, '+inf', 'BYSCORE')) do woken[#woken + 1] = aside end
  for _, entry in ipairs(woken) do wake[#wake + 1] = string.match(entry, '^%S+') end
end
return wake
