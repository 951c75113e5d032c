-- Launch under limits: which ready task may be launched, and which has to wait (see semaphores.lua,
-- wait_queue.lua).
--
-- keys: limits ready

local limits -- opened by schedule.lua; nil if the feature meets none

-- Open the limits, where there are any, or the feature still waits for one or holds one. All their functions
-- are made here, for most features meet no limit.
local function open_limits(meta)
  local amounts, stored = {}, rare_keys > 0 and redis.call('HGETALL', limits_key) or {}
  for place = 1, #stored, 2 do amounts[stored[place]] = stored[place + 1] end
  if not (next(amounts) or meta.limited or meta.resourced) then return nil end
  local semaphores, classes = open_semaphores(amounts), open_classes(meta.resourced)
  local queue = open_wait_queue(semaphores, classes, meta.limited)

  -- Take the units and tokens that a task needs at its launch. Answers {limit: units to give back}, or nil.
  local function take(task)
    return semaphores.take(task, classes.class_of(task))
  end

  local function serve(class, free_slots, start)
    queue.leave(class)
    while free_slots() > 0 do
      local lacked = queue.lacks(class, function(limit) return queue.place_in(limit, class) end)
      if lacked then
        queue.waits[class].limit = lacked
        return queue.join(class)
      end
      start(redis.call('ZPOPMIN', classes.tasks_of(class))[1])
      if classes.is_empty(class) then return queue.drop(class) end
      queue.go_to_back(class)
    end
  end

  local function start_or_wait(task, rank, start)
    local waits, class, turn = queue.waits, classes.class_of(task), tonumber(rank) < 0 and 0
    if not waits[class] then
      -- Without a turn, it stands behind all waiting classes of its priority.
      local function place() return classes.priority_of(task) * 1e12 + (turn or ASIDE / 10) end
      local lacked = queue.lacks(class, place)
      if not lacked then return start(task) end
      waits[class] = { limit = lacked, turn = turn or queue.next_turn() }
    end
    waits[class].turn = turn or waits[class].turn
    redis.call('ZADD', classes.tasks_of(class), rank, task)
  end

  -- Start (`start`: a function) into the free slots what limits allow. Tasks that wait for a limit go first, once
  -- they may: they have waited longest, and their limit is scarce.
  local function fill(free_slots, start)
    queue.drop_empty()
    for _, task in ipairs(redis.call('ZRANGEBYSCORE', ready_key, '-inf', '(0')) do
      if free_slots() > 0 then
        local rank = redis.call('ZSCORE', ready_key, task)
        redis.call('ZREM', ready_key, task)
        start_or_wait(task, rank, start)
      end
    end
    for _, place in ipairs(queue.by_turn()) do serve(place[1], free_slots, start) end
    while free_slots() > 0 do
      local popped = redis.call('ZPOPMIN', ready_key, free_slots())
      if #popped == 0 then break end
      for place = 1, #popped, 2 do start_or_wait(popped[place], popped[place + 1], start) end
    end
    queue.keep(free_slots() > 0)
  end

  return { semaphores = semaphores, queue = queue, take = take, fill = fill }
end
