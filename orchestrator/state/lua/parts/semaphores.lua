-- The limits over all features: so many units of one are held at once, or so many tokens of a rate come in a
-- time. A task takes all that it needs at once; one that lacks something holds nothing.
--
-- keys: released

-- Open the limits: `amounts` {limit: how much there is}. A class stands for all tasks of a feature that need
-- the same: "specialist,resource=units,…" (see wait_queue.lua).
local function open_semaphores(amounts)
  local needs, used, rates, touched = {}, {}, {}, {}

  -- A lock between tasks of this feature (see planning/exclusion.py); there is one of each.
  local function is_lock(limit)
    return string.sub(limit, 1, 6) == 'touch:'
  end

  local function amount_of(limit)
    return is_lock(limit) and 1 or tonumber(amounts[limit] or 0)
  end

  local function needs_of(class)
    if needs[class] then return needs[class] end
    local specialist, found = string.match(class, '^[^,]*'), {}
    local function need(limit, units)
      if amounts[limit] or units then found[#found + 1] = { limit, units or 1 } end
    end
    need('total')
    need('specialist:' .. specialist)
    for name, units in string.gmatch(class, ',([^=]+)=(%d+)') do
      local lock = string.match(name, '^@(%d+)$')
      need(lock and 'touch:' .. feature .. ':' .. lock or 'resource:' .. name, tonumber(units))
    end
    need('rate:' .. specialist)
    needs[class] = found
    return found
  end

  -- {ms between two tokens, burst}; false if the limit is not a rate.
  local function rate_of(limit)
    if rates[limit] == nil then
      local interval, burst = string.match(amounts[limit] or '', '^(%S+) (%d+)$')
      rates[limit] = interval and { tonumber(interval), tonumber(burst) } or false
    end
    return rates[limit]
  end

  local function next_token(limit)
    local interval, burst = unpack(rate_of(limit))
    return tonumber(redis.call('HGET', shared('arrival-times'), limit) or 0) - (burst - 1) * interval
  end

  local function is_too_much(limit, units)
    return not rate_of(limit) and units > amount_of(limit)
  end

  local function has_room(limit, units)
    if rate_of(limit) then return exact >= next_token(limit) end
    used[limit] = used[limit] or tonumber(redis.call('HGET', shared('used'), limit) or 0)
    return used[limit] + units <= amount_of(limit)
  end

  local function use(limit, units)
    used[limit] = redis.call('HINCRBY', shared('used'), limit, units)
    if used[limit] == 0 and is_lock(limit) then redis.call('HDEL', shared('used'), limit) end
  end

  -- Take the units and tokens that a task of a class needs. Answers {limit: units to give back}, or nil.
  local function take(task, class)
    local holds
    for _, need in ipairs(needs_of(class)) do
      local limit, units = unpack(need)
      if rate_of(limit) then
        take_rate_token(limit, rate_of(limit)[1])
      else
        use(limit, units)
        redis.call('HSET', shared('holders:' .. limit), feature .. ':' .. task, units)
        holds = holds or {}
        holds[limit] = units
      end
    end
    return holds
  end

  local function give_back(task, holds)
    for limit, units in pairs(holds) do
      if redis.call('HDEL', shared('holders:' .. limit), feature .. ':' .. task) == 1 then
        use(limit, -units)
        touched[limit] = true
      end
    end
  end

  local function give_back_released()
    for _, entry in ipairs(redis.call('LRANGE', released_key, 0, -1)) do give_back(unpack(cjson.decode(entry))) end
    redis.call('DEL', released_key)
  end

  return {
    needs_of = needs_of,
    rate_of = rate_of,
    next_token = next_token,
    is_too_much = is_too_much,
    has_room = has_room,
    take = take,
    give_back = give_back,
    give_back_released = give_back_released,
    touched = touched, -- limits that have more free units now, or whose queue has changed
  }
end
