-- Wakes features: those that have room in a limit now, and those whose next retry or token is due.

-- Wake the sweeping worker if an entry in `due` is due before all others.
local function wake_if_first(entry)
  if redis.call('ZRANGE', shared('due'), 0, 0)[1] == entry then redis.call('PUBLISH', shared('wake'), entry) end
end

local function wake_for_retry(moment)
  local entry = 'retry:' .. feature
  if redis.call('ZADD', shared('due'), 'CH', moment, entry) == 1 then wake_if_first(entry) end
end

-- The features at the front of the queues that have changed, where there is room for them now; where the next
-- token of a rate is to come, its moment is kept.
local function wake_fronts(semaphores)
  local woken = {}

  local function wake_front(limit)
    local queue = shared('waiting:' .. limit)
    local front = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    if not front[1] then return end
    local id, class = string.match(front[1], '^(%S+) (.*)$')
    if redis.call('EXISTS', key_of(id, 'meta')) == 0 then
      redis.call('ZREM', queue, front[1])
      return wake_front(limit)
    end
    local units = 0 -- stays 0 if the limit does not exist any more
    for _, need in ipairs(semaphores.needs_of(class)) do
      if need[1] == limit then units = need[2] end
    end
    local is_to_step_aside = semaphores.is_too_much(limit, units) and tonumber(front[2]) < ASIDE
    if units == 0 or is_to_step_aside or semaphores.has_room(limit, units) then
      woken[#woken + 1] = id
    elseif semaphores.rate_of(limit) then
      local moment = string.format('%.3f', semaphores.next_token(limit))
      if redis.call('ZADD', shared('due'), moment, limit) == 1 then wake_if_first(limit) end
    end
  end

  for limit in pairs(semaphores.touched) do wake_front(limit) end
  return woken
end
