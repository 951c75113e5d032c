-- Take new tasks and dependencies into a feature that runs, as they were worked out from an earlier look at
-- it.
--
-- keys: meta counts batches ready slots delayed unassigned tasks
-- args: open grown growth person
--   open    the open batch when it was worked out, and
--   grown   how often the feature had grown then
--   growth  JSON {unlaunched [task, …] (assumed), added (how many tasks), tasks {task: its JSON}, specialists
--           {new task: its specialist}, moved {task: [rank, batch]}, batches {number: its JSON}, totals
--           {number: its tasks}, ended [number, …] (batches that are no more), schema (that it needs at
--           least), meta {field: value}, events [[event, field, value, …], …]}
-- answer: a code
--   "grown"    done; schedule launches the tasks that may start now
--   "changed"  the feature has changed since, is over, or does not exist; nothing was changed
local meta = read_meta('status', 'batch', 'grown', 'transitions', 'table', 'schema')
growth = cjson.decode(growth)

local function has_started(task)
  local state = state_of(task)
  local is_in_flight = redis.call('ZSCORE', slots_key, task)
  return is_in_flight or (state and (state.attempt > 0 or not OPEN_TO_DEPENDENCIES[state.status]))
end

local function is_as_it_was()
  if not meta.status or OVER[meta.status] then return false end
  if meta.batch ~= open or (meta.grown or '0') ~= grown then return false end
  for _, task in ipairs(growth.unlaunched) do
    if has_started(task) then return false end
  end
  return true
end

local function move_count(name, from, to)
  redis.call('HINCRBY', counts_key, from .. ':' .. name, -1)
  redis.call('HINCRBY', counts_key, to .. ':' .. name, 1)
end

local function move_to_batch(task, batch)
  local state = state_of(task)
  if state then
    if state.status ~= 'pending' then move_count(state.status, state.batch, batch) end
    if state.resolved then move_count('resolved', state.batch, batch) end
    state.batch = batch
    save_state(task, state)
  end
  redis.call('ZREM', ready_key, task)
  redis.call('SREM', unassigned_key, task)
  if batch == tonumber(open) and (not state or state.status == 'pending') then make_ready(task) end
end

local function place(task, rank, batch)
  local was, specialist = nil, growth.specialists[task]
  if not specialist then
    local _
    _, was, specialist = plan_of(task)
  end
  set_plan(task, rank, batch, specialist)
  local has_waited = stop_waiting(task)
  if was == batch then
    -- schedule checks again whether it has to wait for a limit.
    redis.call('ZADD', ready_key, has_waited and 'CH' or 'XX', rank, task)
  else
    move_to_batch(task, batch)
  end
end

local function end_batch(number)
  redis.call('HDEL', batches_key, number)
  redis.call('HDEL', counts_key, number .. ':total', number .. ':resolved')
  for _, status in ipairs(COUNTED) do redis.call('HDEL', counts_key, number .. ':' .. status) end
end

-- The gates of the feature judged, or judge, work that is not all of it any more: they are to run again at
-- the end.
local function withdraw_gates(gates, state)
  stop_waiting(gates)
  redis.call('ZREM', ready_key, gates)
  redis.call('ZREM', delayed_key, gates)
  if is_held(gates) then
    state.ending = true -- as in transition_task.lua
  else
    redis.call('ZREM', slots_key, gates)
    release_holds(gates, state)
  end
  state.status = 'pending'
  save_state(gates, state)
end

if not is_as_it_was() then return 'changed' end

for task, text in pairs(growth.tasks) do redis.call('HSET', tasks_key, task, text) end
for task, where in pairs(growth.moved) do place(task, where[1], where[2]) end
for number, text in pairs(growth.batches) do redis.call('HSET', batches_key, number, text) end
for number, total in pairs(growth.totals) do redis.call('HSET', counts_key, number .. ':total', total) end
for _, number in ipairs(growth.ended) do end_batch(number) end
for field, value in pairs(growth.meta) do redis.call('HSET', meta_key, field, value) end
if growth.schema > (tonumber(meta.schema) or 1) then redis.call('HSET', meta_key, 'schema', growth.schema) end
redis.call('HINCRBY', meta_key, 'grown', 1)
close_meta()
for _, event in ipairs(growth.events) do
  event[#event + 1], event[#event + 2] = 'by', person
  record(unpack(event))
end
if growth.added > 0 then
  for _, gates in ipairs(GATES) do
    local state = state_of(gates)
    if state then withdraw_gates(gates, state) end
  end
  local target = target_of(meta, 'feature_grew')
  if target then
    redis.call('HSET', meta_key, 'status', target)
    record('feature_grew', 'from', meta.status, 'to', target)
  end
end
return 'grown'
