-- The tasks of a feature that wait for limits. A task waits in its class, and the class stands in the queue
-- of one limit, the first that it lacks: by priority, then by turn. Only the front of a queue is served.
--
-- keys: waiting meta

local ASIDE = 9e12 -- added to the place of a class that needs more than the whole limit, so that it blocks no other

-- Open the queue. `some_wait`: whether tasks of the feature wait.
local function open_wait_queue(semaphores, classes, some_wait)
  local needs_of, touched, waits = semaphores.needs_of, semaphores.touched, {}

  local function next_turn()
    return redis.call('INCR', shared('turn'))
  end

  local function place_in(limit, class)
    local place = classes.first_priority(class) * 1e12 + waits[class].turn
    for _, need in ipairs(needs_of(class)) do
      if need[1] == limit and semaphores.is_too_much(unpack(need)) then place = place + ASIDE end
    end
    return place
  end

  local function entry_of(class)
    return feature .. ' ' .. class
  end

  local function leave(class)
    local limit = waits[class].limit
    if redis.call('ZREM', shared('waiting:' .. limit), entry_of(class)) == 1 then touched[limit] = true end
  end

  local function join(class)
    local limit = waits[class].limit
    redis.call('ZADD', shared('waiting:' .. limit), string.format('%.0f', place_in(limit, class)), entry_of(class))
    touched[limit] = true
  end

  -- The first limit that a class lacks. It is in no queue while this is asked, so that it does not stand
  -- behind itself: `place` says where in the queue of a limit it would stand.
  local function lacks(class, place)
    for _, need in ipairs(needs_of(class)) do
      local limit = need[1]
      if not semaphores.has_room(unpack(need)) then return limit end
      local front = redis.call('ZRANGE', shared('waiting:' .. limit), 0, 0, 'WITHSCORES')
      if front[1] and place(limit) > tonumber(front[2]) then return limit end
    end
  end

  local function by_turn()
    local order = {}
    for class in pairs(waits) do order[#order + 1] = { class, place_in('', class) } end
    table.sort(order, function(one, other) return one[2] < other[2] end)
    return order
  end

  -- The other classes of the feature that wait for the same go to the back with it, before it: all have one
  -- share.
  local function go_to_back(class)
    for _, place in ipairs(by_turn()) do
      local other = place[1]
      for _, need in ipairs(other ~= class and needs_of(class) or {}) do
        if waits[other].limit == need[1] then
          waits[other].turn = next_turn()
          if redis.call('ZSCORE', shared('waiting:' .. need[1]), entry_of(other)) then join(other) end
        end
      end
    end
    waits[class].turn = classes.is_ahead(class) and 0 or next_turn()
  end

  local function drop(class)
    leave(class)
    redis.call('HDEL', waiting_key, class)
    waits[class] = nil
  end

  local function drop_empty()
    for class in pairs(waits) do
      if classes.is_empty(class) then drop(class) end
    end
  end

  -- Where no slot is free, or the feature is paused, its classes stand in no queue: they would hold others
  -- up.
  local function keep(may_launch)
    drop_empty()
    for class, wait in pairs(waits) do
      if may_launch then join(class) else leave(class) end
      redis.call('HSET', waiting_key, class, wait.limit .. ' ' .. string.format('%.0f', wait.turn))
    end
    if next(waits) then redis.call('HSET', meta_key, 'limited', '1') else redis.call('HDEL', meta_key, 'limited') end
  end

  local function remove(task)
    for class in pairs(waits) do redis.call('ZREM', classes.tasks_of(class), task) end
  end

  local function has(task)
    for class in pairs(waits) do
      if redis.call('ZSCORE', classes.tasks_of(class), task) then return true end
    end
    return false
  end

  local function clear()
    for class in pairs(waits) do
      leave(class)
      redis.call('DEL', classes.tasks_of(class))
      waits[class] = nil
    end
    redis.call('DEL', waiting_key)
  end

  local stored = some_wait and redis.call('HGETALL', waiting_key) or {}
  for place = 1, #stored, 2 do
    local limit, turn = string.match(stored[place + 1], '^(%S+) (%d+)$')
    waits[stored[place]] = { limit = limit, turn = tonumber(turn) }
  end

  return {
    waits = waits, -- {class: limit and turn}
    next_turn = next_turn,
    place_in = place_in,
    leave = leave,
    join = join,
    lacks = lacks,
    by_turn = by_turn,
    go_to_back = go_to_back,
    drop = drop,
    drop_empty = drop_empty,
    keep = keep,
    remove = remove,
    has = has,
    clear = clear,
  }
end
