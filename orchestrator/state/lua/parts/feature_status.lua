-- The status of a feature follows from its tasks.
--
-- keys: meta slots active finished ready delayed unassigned

-- Set the status. A feature that is over stays active until its last attempt has ended.
local function set_status(target)
  move_in_index(redis.call('HGET', meta_key, 'status') or nil, target)
  if not OVER[target] then return redis.call('HSET', meta_key, 'status', target) end
  redis.call('HSET', meta_key, 'status', target, 'finished', now)
  -- An index that somebody has overwritten does not keep a feature from its end.
  redis.pcall('ZADD', finished_key, now, feature)
  if redis.call('ZCARD', slots_key) == 0 then redis.pcall('SREM', active_key, feature) end
end

-- Where an event leads from the feature's status; nil where its flow does not have it. The flow is kept as
-- lines "event status target" (see encoding.py); before schema 4 it was JSON in the field `table`.
local function target_of(meta, event)
  if not meta.transitions then return (cjson.decode(redis.call('HGET', meta_key, 'table'))[event] or {})[meta.status] end
  local _, place = string.find(meta.transitions, '\n' .. event .. ' ' .. meta.status .. ' ', 1, true)
  return place and string.match(meta.transitions, '^%S+', place + 1)
end

local function apply_event(meta, event, cause)
  local target = target_of(meta, event)
  if not target then return end
  record(event, 'from', meta.status, 'to', target, 'cause', cause or '')
  meta.status = target
  set_status(target)
end

local function is_resolved(batch)
  return count_of(batch .. ':resolved') >= count_of(batch .. ':total')
end

-- The reason why an idle feature waits for a person: the cause of person_awaited.
local function awaited(meta)
  if count_of('in-review') > 0 then return 'review' end
  if redis.call('SCARD', unassigned_key) > 0 then return 'specialist' end
  if is_resolved(meta.batch) then return 'launch' end
  return 'decision'
end

local function is_idle()
  return redis.call('ZCARD', slots_key) == 0 and not has_ready()
    and redis.call('ZCARD', delayed_key) == 0 and not (limits and next(limits.queue.waits))
end

-- The gates of the feature that failed or are blocked: "@testing" or "@validating"; nil if none are.
local function stopped_gates()
  local found
  for _, gates in ipairs(GATES) do
    local state = state_of(gates)
    if state and STOPPED[state.status] then found = gates end
  end
  return found
end

-- Launch the gates of a stage ("@testing" or "@validating") where the feature stands there, and take their
-- outcome.
local function pass_feature_gates(meta, stage, passed)
  if meta.status ~= stage then return end
  local gates = '@' .. stage
  local state = state_of(gates)
  if state and state.status == 'completed' then return apply_event(meta, passed) end
  if state and state.status ~= 'pending' and state.status ~= 'in-progress' then
    return apply_event(meta, 'task_stopped', 'gate')
  end
  local is_on_its_way = redis.call('ZSCORE', ready_key, gates) or redis.call('ZSCORE', slots_key, gates)
    or redis.call('ZSCORE', delayed_key, gates) or (limits and limits.queue.has(gates))
  if is_on_its_way then return end
  make_ready(gates)
  fill_slots(meta, 0)
end

local function follow_tasks(meta)
  if meta.started then apply_event(meta, 'first_task_started') end
  if not counted.resolved then read_counts('resolved', 'failed', 'blocked') end
  local resolved, stopped = count_of('resolved'), count_of('failed') + count_of('blocked')
  if resolved >= tonumber(meta.total) then
    if stopped_gates() then return apply_event(meta, 'task_stopped', 'gate') end
    apply_event(meta, 'all_tasks_complete')
    pass_feature_gates(meta, 'testing', 'feature_tests_passed')
    pass_feature_gates(meta, 'validating', 'feature_validated')
  elseif stopped > 0 then
    apply_event(meta, 'task_stopped')
  elseif meta.paused == '1' then
    -- Tasks of a paused feature wait for nobody. Once a stop is resolved, only the pause holds the feature.
    if meta.status == 'blocked' then apply_event(meta, 'feature_paused') end
  elseif is_idle() then
    apply_event(meta, 'person_awaited', awaited(meta))
  else
    apply_event(meta, 'all_resolved')
  end
end
