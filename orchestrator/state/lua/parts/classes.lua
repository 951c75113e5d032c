-- The classes of a feature's tasks: all that need the same of limits, "specialist,resource=units,@lock=1,…". The
-- tasks of a class that wait are in a sorted set of its own, by rank.
--
-- keys: waiting tasks

local PRIORITIES = { high = 0, medium = 1, low = 2 }

-- `has_resources`: some tasks of the feature need resources.
local function open_classes(has_resources)
  local function described(task)
    local stored = redis.call('HGET', tasks_key, task)
    return stored and cjson.decode(stored) or {}
  end

  local function class_of(task)
    local _, _, specialist = plan_of(task)
    if not has_resources then return specialist end
    local needed, found = {}, described(task)
    for name, units in pairs(found.resources or {}) do
      needed[#needed + 1] = string.format(',%s=%d', name, units)
    end
    for _, lock in ipairs(found.locks or {}) do needed[#needed + 1] = string.format(',@%d=1', lock) end
    table.sort(needed)
    return specialist .. table.concat(needed)
  end

  local function tasks_of(class)
    return waiting_key .. ':' .. class
  end

  local function priority_of(task)
    return PRIORITIES[described(task).priority] or PRIORITIES.medium
  end

  return {
    class_of = class_of,
    tasks_of = tasks_of,
    priority_of = priority_of,
    is_empty = function(class) return redis.call('EXISTS', tasks_of(class)) == 0 end,
    first_priority = function(class) return priority_of(redis.call('ZRANGE', tasks_of(class), 0, 0)[1]) end,
    is_ahead = function(class)
      local first = redis.call('ZRANGE', tasks_of(class), 0, 0, 'WITHSCORES')
      return first[1] and tonumber(first[2]) < 0
    end,
  }
end
