-- Launch what may start now: retries that are due, the next batch when the one before it is resolved, then
-- the ready tasks, in launch order, into the free slots. Last, the feature's status follows its tasks. In
-- dataflow a task is ready when all that it depends on is resolved; batches are opened all the same, for
-- reports. It depends on the stored state alone, so that any number of repetitions does no harm.
--
-- keys: delayed waits batches meta slots ready unassigned dependents dependency_updates
-- args: feature prefix events_kept queues random
--   queues  JSON {specialist: its queue, where that is not its name}; "": another broker, the caller
--           publishes
--   random  with which the ids of messages end
-- answer: {status, launched [[task, attempt, specialist], …] (see parts/launch.lua), opened [batch, …], wake [feature, …]}, wake: the features that
--   a limit lets go on, to be scheduled now; {status} where there is nothing more; nil where there is no such feature
local meta = open_meta()
if not meta.status or is_refused then return nil end
meta.batch = tonumber(meta.batch)
local is_dataflow, opened = meta.strategy == 'dataflow', {}
limits = open_limits(meta)

local function take_up_retries()
  if rare_keys == 0 then return end
  local first = redis.call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
  while first[1] and tonumber(first[2]) <= now do
    redis.call('ZREM', delayed_key, first[1])
    -- A task that waits for a dependency again becomes ready when that is resolved.
    if not meta.joins or redis.call('HEXISTS', waits_key, first[1]) == 0 then make_ready(first[1]) end
    first = redis.call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
  end
  if first[1] then wake_for_retry(first[2]) end
end

local function may_open(batch)
  if is_dataflow or batch <= tonumber(meta.released) then return true end
  return meta.auto_launch == '1' and not string.find(',' .. (meta.stops or '') .. ',', ',' .. batch .. ',', 1, true)
end

local function open_batches()
  local batches = tonumber(meta.batches)
  while meta.batch < batches and (meta.batch == 0 or is_resolved(meta.batch)) do
    local batch = meta.batch + 1
    if not may_open(batch) then return end
    meta.batch = batch
    opened[#opened + 1] = batch
    if batch == 1 or not is_dataflow then
      take_turns(cjson.decode(redis.call('HGET', batches_key, batch)).tasks)
    end
    if is_dataflow then -- a batch is measured from the start of the feature (see overdue.lua)
      redis.call('HSET', meta_key, 'batch', batch, 'batch_started', now)
    else
      redis.call('HSET', meta_key, 'batch', batch, 'batch_started', now, 'overdue', 0, 'ran', 0)
    end
    record('batch_opened', 'batch', batch, 'total', count_of(batch .. ':total'))
  end
end

local function give_back_launched()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', slots_key, '-inf', 0)) do
    local state = state_of(task)
    if state.holds then
      limits.semaphores.give_back(task, state.holds)
      state.holds = nil
      save_state(task, state)
    end
  end
end

if limits then limits.semaphores.give_back_released() end
if not OVER[meta.status] then
  take_up_retries()
  if meta.paused ~= '1' then
    open_batches()
    if meta.joins then update_dependents() end
    fill_slots(meta, #opened)
  elseif limits then
    limits.queue.keep(false)
  end
  follow_tasks(meta)
else
  -- An attempt that ends after its feature gets no retry.
  redis.call('DEL', ready_key, delayed_key, unassigned_key)
  if limits then
    limits.queue.clear()
    give_back_launched()
  end
  withdraw_offers()
  -- Launched tasks that no worker has started will not start.
  redis.call('ZREMRANGEBYSCORE', slots_key, '-inf', 0)
end
if meta.joins and OVER[meta.status] then
  redis.call('UNLINK', waits_key, dependents_key, dependency_updates_key)
  dependency_updates = {}
end

local wake = limits and wake_fronts(limits.semaphores) or {}
if not (launched[1] or opened[1] or wake[1]) then return { meta.status } end
return { meta.status, launched, opened, wake }
