-- The functions that scripts share. A script gets those that it names, with those that these name, and no
-- others.
--
-- keys: meta states counts slots delayed plan events released dependency_updates

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) -- ms
local exact = time[1] * 1000 + time[2] / 1000 -- ms, with fractions

-- The name of a key that all features share, and of a key of one feature.
local function shared(name)
  return prefix .. ':' .. name
end

local function key_of(id, name)
  return prefix .. ':{' .. id .. '}:' .. name
end

-- Write an event, and count the oldest ones that go for it. Redis trims whole nodes of about a hundred
-- entries.
local function record(event, ...)
  redis.call('XADD', events_key, '*', 'event', event, ...)
  local gone = redis.call('XTRIM', events_key, 'MAXLEN', '~', events_kept)
  -- A count that cannot be kept (somebody wrote another type there) must not fail a script that has written
  -- already.
  if gone > 0 then redis.pcall('INCRBY', events_key .. ':gone', gone) end
end

-- Fields of the feature's meta, by name.
local function read_meta(...)
  local names, found = { ... }, {}
  for place, value in ipairs(redis.call('HMGET', meta_key, ...)) do found[names[place]] = value or nil end
  return found
end

local function state_of(task)
  local stored = redis.call('HGET', states_key, task)
  return stored and cjson.decode(stored)
end

local function save_state(task, state)
  redis.call('HSET', states_key, task, cjson.encode(state))
end

local function new_state(batch)
  return { status = 'pending', attempt = 0, retried = 0, lost = 0, batch = batch }
end

-- The task's rank in the launch order, its batch, and who does it ('': nobody yet); nil where there is no
-- such task.
local function plan_of(task)
  local rank, batch, specialist = string.match(redis.call('HGET', plan_key, task) or '', '^(%d+):(%d+):(.*)$')
  return tonumber(rank), tonumber(batch), specialist
end

-- Whether a worker holds the attempt. A task that is only launched has a score below 0.
local function is_held(task)
  local score = redis.call('ZSCORE', slots_key, task)
  return score and tonumber(score) > 0
end

-- The gates of a feature run as a task of their own, which is not counted.
local function is_gates(task)
  return task == '@testing' or task == '@validating'
end

-- Count a task under a status, or under 'resolved', in its feature and in its batch. Pending tasks are not
-- counted.
local function adjust_counts(task, batch, name, by)
  if name == 'pending' or is_gates(task) then return end
  redis.call('HINCRBY', counts_key, name, by)
  redis.call('HINCRBY', counts_key, batch .. ':' .. name, by)
end

local function count_transition(task, batch, from, to)
  adjust_counts(task, batch, from, -1)
  adjust_counts(task, batch, to, 1)
end

-- Mark the units of limits that a task holds as released: the next schedule gives them back and wakes waiting features.
local function release_holds(task, state)
  if state.holds then redis.call('RPUSH', released_key, cjson.encode({ task, state.holds })) end
  state.holds = nil
end

-- Count a task as resolved (by = 1), or as no longer so (-1); in dataflow, the next schedule tells its
-- dependents.
local function count_resolved(task, batch, by, is_dataflow)
  adjust_counts(task, batch, 'resolved', by)
  if is_dataflow then redis.call('RPUSH', dependency_updates_key, (by > 0 and '+' or '-') .. task) end
end

-- The statuses on the way of steps [[event, {status: new status}], …], the first one included; nil where a
-- status does not allow a step.
local function apply_transitions(status, steps)
  local path = { status }
  for _, step in ipairs(steps) do
    status = step[2][status]
    if not status then return nil end
    path[#path + 1] = status
  end
  return path
end

local function record_transitions(task, attempt, steps, path, ...)
  for place, step in ipairs(steps) do
    record(step[1], 'task', task, 'from', path[place], 'to', path[place + 1], 'attempt', attempt, ...)
  end
end

-- End an attempt that a person revoked while it ran (see transition_task.lua). Its task stays where the
-- person put it. Only now its slot and all that it held are free, a skip counts as resolved, and a task that
-- was resumed meanwhile waits to be launched again.
local function end_revoked_attempt(task, state, cause, worker)
  state.ending, state.finished, state.ended, state.delivery = nil, now, state.attempt, nil
  release_holds(task, state)
  redis.call('ZREM', slots_key, task)
  if state.resolves then
    state.resolved, state.resolves = true, nil
    count_resolved(task, state.batch, 1, state.dataflow)
  end
  -- schedule launches the gates of a feature by itself, in their stage.
  if state.status == 'pending' and not is_gates(task) then redis.call('ZADD', delayed_key, now, task) end
  save_state(task, state)
  record('attempt_ended', 'task', task, 'attempt', state.attempt, 'cause', cause, 'worker', worker)
end
