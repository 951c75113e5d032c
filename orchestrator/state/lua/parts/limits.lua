-- Launch under limits: which ready task may be launched, and which has to wait (see semaphores.lua, wait_queue.lua).
--
-- keys: ready limits

local limits -- nil where the feature meets none; opened by schedule.lua

-- Open the limits, where there are any, or the feature still waits for one or holds one.
local function open_limits(meta)
  local amounts, stored = {}, redis.call('HGETALL', limits_key)
  for place = 1, #stored, 2 do amounts[stored[place]] = stored[place + 1] end
  if not (next(amounts) or meta.limited or meta.resourced) then return nil end
  local semaphores, classes = open_semaphores(amounts), open_classes(meta.resourced)
  return { semaphores = semaphores, classes = classes, queue = open_wait_queue(semaphores, classes, meta.limited) }
end

-- Take what a task needs, as it is launched; {limit: units} of what it is to give back, or nil.
local function take_limits(task)
  return limits.semaphores.take(task, limits.classes.class_of(task))
end

local function serve_class(class, free_slots, launch)
  local queue = limits.queue
  queue.leave(class)
  while free_slots() > 0 do
    local lacked = queue.lacks(class, function(limit) return queue.place_in(limit, class) end)
    if lacked then
      queue.waits[class].limit = lacked
      return queue.join(class)
    end
    launch(redis.call('ZPOPMIN', limits.classes.tasks_of(class))[1])
    if limits.classes.is_empty(class) then return queue.drop(class) end
    queue.go_to_back(class)
  end
end

local function launch_or_wait(task, rank, launch)
  local queue, classes = limits.queue, limits.classes
  local waits, class, turn = queue.waits, classes.class_of(task), tonumber(rank) < 0 and 0
  if not waits[class] then
    -- Where it has no turn yet, all of its priority that wait go before it.
    local function place() return classes.priority_of(task) * 1e12 + (turn or ASIDE / 10) end
    local lacked = queue.lacks(class, place)
    if not lacked then return launch(task) end
    waits[class] = { limit = lacked, turn = turn or queue.next_turn() }
  end
  waits[class].turn = turn or waits[class].turn
  redis.call('ZADD', classes.tasks_of(class), rank, task)
end

-- Launch into the free slots what limits allow. What waits goes first, once it may: it has waited longest, and what it
-- waits for is scarce.
local function fill_under_limits(free_slots, launch)
  local queue = limits.queue
  queue.drop_empty()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', ready_key, '-inf', '(0')) do
    if free_slots() > 0 then
      local rank = redis.call('ZSCORE', ready_key, task)
      redis.call('ZREM', ready_key, task)
      launch_or_wait(task, rank, launch)
    end
  end
  for _, place in ipairs(queue.by_turn()) do serve_class(place[1], free_slots, launch) end
  while free_slots() > 0 do
    local popped = redis.call('ZPOPMIN', ready_key, free_slots())
    if #popped == 0 then break end
    for place = 1, #popped, 2 do launch_or_wait(popped[place], popped[place + 1], launch) end
  end
  queue.keep(free_slots() > 0)
end
