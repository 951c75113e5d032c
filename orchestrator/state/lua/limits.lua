-- The part of cascade.lua that knows the limits over all features. It is made where there are any, and answers with its
-- functions: the cascade says which tasks are ready and how one is launched, this says which may be, and who is next.
--
-- So many units of a limit are held at once, or so many tokens come in a time. A task that lacks one holds none of the
-- others. It waits in its class (the tasks of the feature that need the same: its specialist, and its resources as
-- "name=units"), and the class stands in the queue of one limit, the first that it lacks: by priority, then by turn.
-- Only the front of a queue is served, and whoever is served goes to the back.
--
-- KEYS  1 limits  2 waiting  3 freed  4 tasks  5 meta  6 ready
-- ARGV  1 feature id  2 prefix of the keys that all features share  3 now in ms, with fractions
--       4 {limit: how much there is}  5 whether some tasks wait  6 whether some need resources
-- Output a table of functions
local ASIDE = 9e12 -- added to the place in a queue of what needs more than there is: it holds nobody up
local PRIORITIES = { high = 0, medium = 1, low = 2 }
local limits, exact = ARGV[4], ARGV[3]
local waits, needs, used, rates, touched, woken = {}, {}, {}, {}, {}, {}

local function shared(...)
  return ARGV[2] .. ':' .. table.concat({ ... }, ':')
end

local function next_turn()
  return redis.call('INCR', shared('turn'))
end

local function tasks_of(class)
  return KEYS[2] .. ':' .. class
end

local function some_wait(class)
  return redis.call('EXISTS', tasks_of(class)) == 1
end

local function described(task)
  local stored = redis.call('HGET', KEYS[4], task)
  return stored and cjson.decode(stored) or {}
end

-- What a class needs -----------------------------------------------------------------------------------------

local function class_of(task, specialist)
  if not ARGV[6] then return specialist end
  local needed = {}
  for name, units in pairs(described(task).resources or {}) do
    needed[#needed + 1] = string.format(',%s=%d', name, units)
  end
  table.sort(needed)
  return specialist .. table.concat(needed)
end

local function needs_of(class)
  if needs[class] then return needs[class] end
  local specialist, found = string.match(class, '^[^,]*'), {}
  local function need(limit, units)
    if limits[limit] or units then found[#found + 1] = { limit, units or 1 } end
  end
  need('total')
  need('specialist:' .. specialist)
  for name, units in string.gmatch(class, ',([^=]+)=(%d+)') do need('resource:' .. name, tonumber(units)) end
  need('rate:' .. specialist)
  needs[class] = found
  return found
end

-- How much there is ------------------------------------------------------------------------------------------

local function rate_of(limit)
  if rates[limit] == nil then
    local interval, burst = string.match(limits[limit] or '', '^(%S+) (%d+)$')
    rates[limit] = interval and { tonumber(interval), tonumber(burst) } or false
  end
  return rates[limit]
end

-- As take_token.lua has it.
local function full_again(limit)
  return tonumber(redis.call('HGET', shared('full'), limit) or 0)
end

local function next_token(limit)
  local interval, burst = unpack(rate_of(limit))
  return full_again(limit) - (burst - 1) * interval
end

local function is_too_much(limit, units)
  return not rate_of(limit) and units > tonumber(limits[limit] or 0)
end

local function has_room(limit, units)
  if rate_of(limit) then return exact >= next_token(limit) end
  used[limit] = used[limit] or tonumber(redis.call('HGET', shared('used'), limit) or 0)
  return used[limit] + units <= tonumber(limits[limit] or 0)
end

local function use(limit, units)
  used[limit] = redis.call('HINCRBY', shared('used'), limit, units)
end

local function take(task, class)
  local holds
  for _, need in ipairs(needs_of(class)) do
    local limit, units = unpack(need)
    if rate_of(limit) then
      take_token({ shared('full') }, { limit, rate_of(limit)[1], exact })
    else
      use(limit, units)
      redis.call('HSET', shared('holders', limit), ARGV[1] .. ':' .. task, units)
      holds = holds or {}
      holds[limit] = units
    end
  end
  return holds
end

local function give_back(task, holds)
  for limit, units in pairs(holds) do
    if redis.call('HDEL', shared('holders', limit), ARGV[1] .. ':' .. task) == 1 then
      use(limit, -units)
      touched[limit] = true
    end
  end
end

local function give_back_what_ended()
  for _, entry in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do give_back(unpack(cjson.decode(entry))) end
  redis.call('DEL', KEYS[3])
end

-- Who is next ------------------------------------------------------------------------------------------------

local function priority_of(task)
  return PRIORITIES[described(task).priority] or PRIORITIES.medium
end

local function place_in(limit, class)
  local first = redis.call('ZRANGE', tasks_of(class), 0, 0)[1]
  local place = priority_of(first) * 1e12 + waits[class].turn
  for _, need in ipairs(needs_of(class)) do
    if need[1] == limit and is_too_much(unpack(need)) then place = place + ASIDE end
  end
  return place
end

local function entry_of(class)
  return ARGV[1] .. ' ' .. class
end

local function leave_queue(class)
  local limit = waits[class].limit
  if redis.call('ZREM', shared('waiting', limit), entry_of(class)) == 1 then touched[limit] = true end
end

local function join_queue(class)
  local limit = waits[class].limit
  redis.call('ZADD', shared('waiting', limit), string.format('%.0f', place_in(limit, class)), entry_of(class))
  touched[limit] = true
end

-- The class is in no queue while this is asked, so that it does not stand behind itself. `place` says where in the queue
-- of a limit it would stand.
local function lacks(class, place)
  for _, need in ipairs(needs_of(class)) do
    local limit = need[1]
    if not has_room(unpack(need)) then return limit end
    local front = redis.call('ZRANGE', shared('waiting', limit), 0, 0, 'WITHSCORES')
    if front[1] and place(limit) > tonumber(front[2]) then return limit end
  end
end

local function by_turn()
  local order = {}
  for class in pairs(waits) do order[#order + 1] = { class, place_in('', class) } end
  table.sort(order, function(one, other) return one[2] < other[2] end)
  return order
end

local function is_ahead(class)
  local first = redis.call('ZRANGE', tasks_of(class), 0, 0, 'WITHSCORES')
  return first[1] and tonumber(first[2]) < 0
end

-- The other classes of the feature that wait for the same go to the back with it, before it: all have one share.
local function go_to_the_back(class)
  for _, place in ipairs(by_turn()) do
    local other = place[1]
    for _, need in ipairs(other ~= class and needs_of(class) or {}) do
      if waits[other].limit == need[1] then
        waits[other].turn = next_turn()
        if redis.call('ZSCORE', shared('waiting', need[1]), entry_of(other)) then join_queue(other) end
      end
    end
  end
  waits[class].turn = is_ahead(class) and 0 or next_turn()
end

local function drop(class)
  leave_queue(class)
  redis.call('HDEL', KEYS[2], class)
  waits[class] = nil
end

local function drop_empty_classes()
  for class in pairs(waits) do
    if not some_wait(class) then drop(class) end
  end
end

-- Where no slot is free, or the feature is paused, its classes stand in no queue: they would hold others up.
local function keep_waiting(may_launch)
  drop_empty_classes()
  for class, wait in pairs(waits) do
    if may_launch then join_queue(class) else leave_queue(class) end
    redis.call('HSET', KEYS[2], class, wait.limit .. ' ' .. string.format('%.0f', wait.turn))
  end
  if next(waits) then redis.call('HSET', KEYS[5], 'limited', '1') else redis.call('HDEL', KEYS[5], 'limited') end
end

-- What waits goes first, once it may: it has waited longest, and what it waits for is scarce.
local function fill(free_slots, launch, specialist_of)
  local function serve(class)
    leave_queue(class)
    while free_slots() > 0 do
      local limit = lacks(class, function(limit) return place_in(limit, class) end)
      if limit then
        waits[class].limit = limit
        return join_queue(class)
      end
      launch(redis.call('ZPOPMIN', tasks_of(class))[1])
      if not some_wait(class) then return drop(class) end
      go_to_the_back(class)
    end
  end

  local function launch_or_wait(task, rank)
    local class, turn = class_of(task, specialist_of(task)), tonumber(rank) < 0 and 0
    if not waits[class] then
      -- Where it has no turn yet, all of its priority that wait go before it.
      local limit = lacks(class, function() return priority_of(task) * 1e12 + (turn or ASIDE / 10) end)
      if not limit then return launch(task) end
      waits[class] = { limit = limit, turn = turn or next_turn() }
    end
    waits[class].turn = turn or waits[class].turn
    redis.call('ZADD', tasks_of(class), rank, task)
  end

  drop_empty_classes()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', '(0')) do
    if free_slots() > 0 then
      local rank = redis.call('ZSCORE', KEYS[6], task)
      redis.call('ZREM', KEYS[6], task)
      launch_or_wait(task, rank)
    end
  end
  for _, place in ipairs(by_turn()) do serve(place[1]) end
  while free_slots() > 0 do
    local popped = redis.call('ZPOPMIN', KEYS[6], free_slots())
    if #popped == 0 then break end
    for place = 1, #popped, 2 do launch_or_wait(popped[place], popped[place + 1]) end
  end
  keep_waiting(free_slots() > 0)
end

local function wait_no_more(task)
  for class in pairs(waits) do redis.call('ZREM', tasks_of(class), task) end
end

local function is_waiting(task)
  for class in pairs(waits) do
    if redis.call('ZSCORE', tasks_of(class), task) then return true end
  end
  return false
end

local function give_up()
  for class in pairs(waits) do
    leave_queue(class)
    redis.call('DEL', tasks_of(class))
    waits[class] = nil
  end
  redis.call('DEL', KEYS[2])
end

-- Who is to be woken -----------------------------------------------------------------------------------------

local function wake_at_next_token(limit)
  local is_new = redis.call('ZADD', shared('due'), string.format('%.3f', next_token(limit)), limit) == 1
  if is_new and redis.call('ZRANGE', shared('due'), 0, 0)[1] == limit then
    redis.call('PUBLISH', shared('wake'), limit)
  end
end

local function wake_front(limit)
  local front = redis.call('ZRANGE', shared('waiting', limit), 0, 0, 'WITHSCORES')
  if not front[1] then return end
  local feature, class = string.match(front[1], '^(%S+) (.*)$')
  if redis.call('EXISTS', ARGV[2] .. ':{' .. feature .. '}:meta') == 0 then
    redis.call('ZREM', shared('waiting', limit), front[1])
    return wake_front(limit)
  end
  local units = 0
  for _, need in ipairs(needs_of(class)) do
    if need[1] == limit then units = need[2] end
  end
  -- No units: the limit is no more.
  local is_to_step_aside = is_too_much(limit, units) and tonumber(front[2]) < ASIDE
  if units == 0 or is_to_step_aside or has_room(limit, units) then
    woken[#woken + 1] = feature
  elseif rate_of(limit) then
    wake_at_next_token(limit)
  end
end

local function wake()
  for limit in pairs(touched) do wake_front(limit) end
  return woken
end

local waiting = ARGV[5] and redis.call('HGETALL', KEYS[2]) or {}
for place = 1, #waiting, 2 do
  local limit, turn = string.match(waiting[place + 1], '^(%S+) (%d+)$')
  waits[waiting[place]] = { limit = limit, turn = tonumber(turn) }
end

return {
  take = function(task, specialist) return take(task, class_of(task, specialist)) end,
  give_back = give_back,
  give_back_what_ended = give_back_what_ended,
  fill = fill,
  keep_waiting = keep_waiting,
  wait_no_more = wait_no_more,
  is_waiting = is_waiting,
  any_wait = function() return next(waits) ~= nil end,
  give_up = give_up,
  wake = wake,
}
