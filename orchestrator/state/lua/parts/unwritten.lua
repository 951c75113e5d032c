-- The values that the scripts of one call have read or changed. Each is read once. It is written once: when all the
-- scripts have run (see `AT_THE_END` in scripts.py), also after an error.
--
-- keys: states counts events dependency_updates

local MOST = 1000 -- arguments of a command; Lua can pass some 8,000

local states = {} -- {task: its state, or false} of those that were read or saved
local unsaved = {} -- {task: its state as JSON, or true} of those to be written

-- The state of a task. A caller that changes it has to save it.
local function state_of(task)
  local state = states[task]
  if state == nil then
    local stored = redis.call('HGET', states_key, task)
    state = stored and cjson.decode(stored)
    states[task] = state
  end
  return state or nil
end

-- `text`: the state as JSON, where the caller has it.
local function save_state(task, state, text)
  states[task], unsaved[task] = state, text or true
end

local function write_states()
  local fields = {}
  for task, text in pairs(unsaved) do
    local place = #fields
    fields[place + 1], fields[place + 2] = task, text == true and cjson.encode(states[task]) or text
    if place + 2 >= MOST then
      redis.call('HSET', states_key, unpack(fields))
      fields = {}
    end
  end
  if fields[1] then redis.call('HSET', states_key, unpack(fields)) end
  unsaved = {}
end

local counted = {} -- {name: its count, or the text of it} of those that were read
local adjusted = {} -- {name: by how much it has changed}

local function read_counts(...)
  local names = { ... }
  for place, value in ipairs(redis.call('HMGET', counts_key, ...)) do
    local name = names[place]
    counted[name] = value or 0
    if adjusted[name] then counted[name] = counted[name] + adjusted[name] end
  end
end

local function count_of(name)
  if not counted[name] then read_counts(name) end
  return tonumber(counted[name])
end

local function adjust_count(name, by)
  adjusted[name] = (adjusted[name] or 0) + by
  if counted[name] then counted[name] = counted[name] + by end
end

local function write_counts()
  local fields = {}
  for name, by in pairs(adjusted) do
    if by ~= 0 and counted[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = counted[name]
    elseif by ~= 0 then
      redis.call('HINCRBY', counts_key, name, by)
    end
  end
  if fields[1] then redis.call('HSET', counts_key, unpack(fields)) end
  adjusted = {}
end

local dependency_updates = {} -- as in the key, of this call

local function write_dependency_updates()
  for _, update in ipairs(dependency_updates) do redis.call('RPUSH', dependency_updates_key, update) end
  dependency_updates = {}
end

local has_recorded = false -- an event

-- Delete the oldest events if there are too many now, and count the deleted ones. Redis deletes whole nodes of about
-- a hundred entries.
local function trim_events()
  if not has_recorded then return end
  local gone = redis.call('XTRIM', events_key, 'MAXLEN', '~', events_kept)
  -- A count that cannot be kept (somebody wrote another type there) must not fail a script that has written
  -- already.
  if gone > 0 then redis.pcall('INCRBY', events_key .. ':gone', gone) end
  has_recorded = false
end
