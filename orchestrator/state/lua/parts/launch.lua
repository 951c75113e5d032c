-- Launch ready tasks into the free slots, in launch order.
--
-- keys: slots ready

-- [[task, attempt, specialist], …]; and a 1 where others are published, and this is left to the caller. What waits for an
-- agent is not among them: it has no message.
local launched = {}

-- The caller gives it its slot.
local function launch(meta, task)
  local _, batch, specialist = plan_of(task)
  local state = fresh[task]
  if state == 'new' then state = new_state(batch) else state = state or state_of(task) or new_state(batch) end
  -- Stored here, so that finish does not have to read the meta.
  if meta.joins then state.dataflow = true end
  local is_first = state.attempt == 0 and not fresh[task]
  state.attempt, state.sent = state.attempt + 1, nil
  if limits then state.holds = limits.take(task) end
  save_state(task, state)
  if is_first then
    record('task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch, 'cause', 'queued')
  else
    record('task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch)
  end
  if awaits_an_agent(task, state, specialist) then return offer(task, state, specialist) end
  local is_left = queue_names and not publish_task(task, state, specialist, meta.trace)
  launched[#launched + 1] = { task, state.attempt, specialist, is_left and 1 or nil }
end

local function launch_all(meta, popped)
  local slots = {}
  for place = 1, #popped, 2 do
    launch(meta, popped[place])
    slots[#slots + 1], slots[#slots + 2] = -now, popped[place]
    if #slots == MOST or place + 2 > #popped then
      redis.call('ZADD', slots_key, unpack(slots))
      slots = {}
    end
  end
end

-- `opened`: how many batches this run of the script has opened.
local function fill_slots(meta, opened)
  local function free_slots()
    return meta.cap - redis.call('ZCARD', slots_key)
  end
  if limits then
    limits.fill(free_slots, function(task)
      launch(meta, task)
      redis.call('ZADD', slots_key, -now, task)
    end)
  else
    if not has_ready() then return end
    local free = free_slots()
    if free > 0 then launch_all(meta, redis.call('ZPOPMIN', ready_key, free)) end
  end
  if opened == 0 then return end
  local waiting = redis.call('ZCARD', ready_key)
  if waiting > 0 then
    local in_flight = redis.call('ZCARD', slots_key)
    record('at_capacity', 'batch', meta.batch, 'in_flight', in_flight, 'waiting', waiting)
  end
end
