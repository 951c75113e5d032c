-- Launch ready tasks into the free slots, in launch order.
--
-- keys: slots ready

local launched = {} -- [[task, attempt, specialist], …]

local function launch(meta, task)
  local _, batch, specialist = placed(task)
  local state = fresh[task]
  if state == 'new' then state = new_state(batch) else state = state or state_of(task) or new_state(batch) end
  -- Stored here, so that finish does not have to read the strategy.
  if meta.strategy == 'dataflow' then state.dataflow = true end
  local is_first = state.attempt == 0 and not fresh[task]
  state.attempt, state.sent = state.attempt + 1, nil
  if limits then state.holds = limits.take(task) end
  save_state(task, state)
  redis.call('ZADD', slots_key, -now, task)
  if is_first then
    record('task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch, 'cause', 'queued')
  else
    record('task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch)
  end
  launched[#launched + 1] = { task, state.attempt, specialist }
  if queue_names then publish_task(task, state, specialist, meta.trace) end
end

-- `opened`: how many batches this run of the script has opened.
local function fill_slots(meta, opened)
  local function free_slots()
    return meta.cap - redis.call('ZCARD', slots_key)
  end
  if limits then
    limits.fill(free_slots, function(task) launch(meta, task) end)
  else
    local free = free_slots()
    local popped = free > 0 and redis.call('ZPOPMIN', ready_key, free) or {}
    for place = 1, #popped, 2 do launch(meta, popped[place]) end
  end
  local waiting = redis.call('ZCARD', ready_key)
  if opened > 0 and waiting > 0 then
    local in_flight = redis.call('ZCARD', slots_key)
    record('at_capacity', 'batch', meta.batch, 'in_flight', in_flight, 'waiting', waiting)
  end
end
