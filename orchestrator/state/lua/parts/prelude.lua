-- The functions that scripts share. A script gets those that it names, with those that these name, and no
-- others.
--
-- keys: meta slots delayed plan events released

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) -- ms
local exact = time[1] * 1000 + time[2] / 1000 -- ms, with fractions

local plans = {} -- {task: its plan} of the tasks read so far

-- The name of a key that all features share, and of a key of one feature.
local function shared(name)
  return prefix .. ':' .. name
end

local function key_of(id, name)
  return prefix .. ':{' .. id .. '}:' .. name
end

-- Write an event.
local function record(event, ...)
  redis.call('XADD', events_key, '*', 'event', event, ...)
  has_recorded = true
end

-- Write an event, unless its key holds something else. The script trims the events itself.
local function try_record(event, ...)
  return type(redis.pcall('XADD', events_key, '*', 'event', event, ...)) ~= 'table'
end

-- Fields of the feature's meta, by name.
local function read_meta(...)
  local names, found = { ... }, {}
  for place, value in ipairs(redis.call('HMGET', meta_key, ...)) do found[names[place]] = value or nil end
  return found
end

local function new_state(batch)
  return { status = 'pending', attempt = 0, batch = batch }
end

local function read_plan(stored)
  local rank, batch, specialist = string.match(stored or '', '^(%d+):(%d+):(.*)$')
  return { tonumber(rank), tonumber(batch), specialist }
end

-- The task's rank in the launch order, its batch, and who does it ('': nobody yet); nil where there is no
-- such task.
local function plan_of(task)
  local plan = plans[task]
  if not plan then
    plan = read_plan(redis.call('HGET', plan_key, task))
    plans[task] = plan
  end
  return plan[1], plan[2], plan[3]
end

local function set_plan(task, rank, batch, specialist)
  redis.call('HSET', plan_key, task, rank .. ':' .. batch .. ':' .. specialist)
  plans[task] = nil
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
  adjust_count(name, by)
  adjust_count(batch .. ':' .. name, by)
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
  if is_dataflow then dependency_updates[#dependency_updates + 1] = (by > 0 and '+' or '-') .. task end
end

-- The statuses on the way of steps (see transition_attempt.lua), the first one included, with the event of each
-- step; nil where a status does not allow one.
local function apply_transitions(status, steps)
  local path, events = { status }, {}
  for step in string.gmatch(steps, '[^\n]+') do
    local _, place = string.find(step, ' ' .. status .. ':', 1, true)
    if not place then return nil end
    status = string.match(step, '^%S+', place + 1)
    path[#path + 1] = status
    events[#events + 1] = string.match(step, '^%S+')
  end
  return path, events
end

local function record_transitions(task, attempt, events, path, ...)
  for place, event in ipairs(events) do
    record(event, 'task', task, 'from', path[place], 'to', path[place + 1], 'attempt', attempt, ...)
  end
end

local function delay(task, moment)
  redis.call('ZADD', delayed_key, moment, task)
  rare_keys = rare_keys + 1
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
  if state.status == 'pending' and not is_gates(task) then delay(task, now) end
  save_state(task, state)
  record('attempt_ended', 'task', task, 'attempt', state.attempt, 'cause', cause, 'worker', worker)
end
