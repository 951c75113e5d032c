-- Find a key of a wrong type before a script writes: Redis does not undo what a script wrote before it failed
-- (Redis documentation, "Scripting with Lua"). Each script looks at the keys that it is given, and at those
-- that the functions on limits name themselves.
--
-- keys: limits waiting

local function wrong_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == wanted then return nil end
  return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', and should be a ' .. wanted)
end

-- The fields of a hash. A read that fails says that the key is of another type, without a command more.
local function fields_or_error(key)
  local fields = redis.pcall('HKEYS', key)
  if fields.err then return nil, wrong_type(key, 'hash') end
  return fields
end

local rare_keys = 0 -- how many of the keys there are that most features do not have (`RARE` in keys.py)

local function look_for(...)
  rare_keys = redis.call('EXISTS', ...)
end

local function wrong_type_of_limits()
  local names, wrong = fields_or_error(limits_key)
  if wrong then return wrong end
  if #names == 0 then return nil end
  local found = wrong_type(shared('used'), 'hash') or wrong_type(shared('turn'), 'string')
    or wrong_type(shared('arrival-times'), 'hash') or wrong_type(shared('due'), 'zset')
  for _, limit in ipairs(names) do
    found = found or wrong_type(shared('holders:' .. limit), 'hash') or wrong_type(shared('waiting:' .. limit), 'zset')
  end
  return found
end

local function wrong_type_of_classes()
  local classes, wrong = fields_or_error(waiting_key)
  if wrong then return wrong end
  for _, class in ipairs(classes) do
    local found = wrong_type(waiting_key .. ':' .. class, 'zset')
    if found then return found end
  end
end
