-- Do what finish, schedule and take_next do, in the most common case: a task is completed in the midst of its
-- feature, nothing else follows from it, and the next message is one of the same feature. It stores and answers
-- exactly what these three would, at less than half of their cost. Any other case is left to them, unchanged.
--
-- keys: meta states slots plan tasks counts ready outcomes events durations minimum taken last_started delayed unassigned
--   released waiting limits dependency_updates dependents
-- args: known task attempt steps outcome wait uses cause route worker delivery kept kept_ms note allowed lease_ms holder claim newest
--   known   as in check_schema.lua; then the arguments of finish.lua; then those of take_next.lua, of which
--   holder  is its worker
--   claim   is its delivery
--   newest  is its `known`
-- answer: {the answer of finish.lua, that of schedule.lua, that of take_next.lua}; nil in any other case
local event, from, to = string.match(steps, '^(%S+) (%S+):(%S+)$')
if from ~= 'in-progress' or not RESOLVED[to] or wait .. uses .. cause .. route .. note ~= '' then return nil end
if delivery == '' or not queue_names then return nil end

local meta, state, counts, earlier -- of the task that is completed
local queue, text, asked, number, taken, waits_since, described -- the next message, and its task
local did, does -- their specialists

local function specialist_of(plan)
  return string.match(plan or '', '^%d+:%d+:(.*)$')
end

local function has_no_rare_key()
  return redis.call('EXISTS', delayed_key, unassigned_key, released_key, waiting_key, limits_key, dependency_updates_key) == 0
end

-- Nothing leads on from in-development while tasks are left that none of these stops (see FeatureFlow.table).
local function is_in_the_midst()
  meta = redis.call('HMGET', meta_key, 'status', 'schema', 'batch', 'batches', 'total', 'paused', 'limited', 'resourced',
    'started', 'trace', 'head')
  return meta[1] == 'in-development' and meta[2] == known and meta[6] ~= '1' and not meta[7] and not meta[8] and meta[9]
end

local function is_right_attempt()
  local stored = redis.call('HGET', states_key, task)
  state = stored and cjson.decode(stored)
  if not state or state.status ~= from or state.attempt ~= tonumber(attempt) or state.delivery ~= delivery
    or state.ended == state.attempt or state.ending or state.holds or is_gates(task) then return false end
  local held = redis.call('ZSCORE', slots_key, task)
  return held and tonumber(held) > 0
end

-- It opens no batch, it makes no task ready, and it is not the last one.
local function has_no_effect()
  if state.dataflow and redis.call('HGET', dependents_key, task) then return false end
  local of = state.batch .. ':'
  counts = redis.call('HMGET', counts_key, 'resolved', to, of .. 'resolved', of .. to, of .. 'total', of .. 'blocked',
    of .. 'failed', 'failed', 'blocked', meta[3] .. ':resolved', meta[3] .. ':total')
  for place = 1, #counts do counts[place] = tonumber(counts[place] or 0) end
  local is_of_open_batch = meta[3] == tostring(state.batch)
  local is_batch_left = meta[3] == meta[4] or counts[10] + (is_of_open_batch and 1 or 0) < counts[11]
  return is_batch_left and counts[8] + counts[9] == 0 and counts[1] + 1 < tonumber(meta[5])
    and redis.call('ZCARD', ready_key) == 0
end

local function find_message()
  for entry in string.gmatch(allowed, '[^\n]+') do
    queue = string.match(entry, '^[^\t]+')
    text = redis.call('LINDEX', shared('celery:' .. queue), -1)
    if text then return entry end
  end
end

local function may_take_next()
  if (tonumber(redis.call('GET', minimum_key)) or 0) > tonumber(newest) then return false end
  local id, entry = nil, find_message()
  if entry then id, asked, number = attempt_of(text) end
  if id ~= feature or is_gates(asked) then return false end

  local stored = redis.call('HGET', states_key, asked)
  taken = stored and cjson.decode(stored)
  waits_since = redis.call('ZSCORE', slots_key, asked)
  if not taken or taken.attempt ~= number or taken.status ~= 'pending' or taken.ending
    or not waits_since or tonumber(waits_since) > 0 then return false end

  local places = redis.call('HMGET', plan_key, task, asked)
  did, does = specialist_of(places[1]), specialist_of(places[2])
  described = redis.call('HGET', tasks_key, asked)
  return did and does and string.find(entry .. '\t', '\t' .. does .. '\t', 1, true) and queue_of(does) == queue
    and is_message_of(text, asked, number, taken.batch, does, meta[10])
end

-- All reads come before the first write. Where one fails, the other scripts say of which key.
local function look()
  if not (has_no_rare_key() and is_in_the_midst() and is_right_attempt() and has_no_effect() and may_take_next()) then return false end
  if tonumber(kept) > 0 then earlier = read_durations(did .. ' ' .. task) end
  local found = redis.call('TYPE', outcomes_key).ok
  return found == 'hash' or found == 'none'
end
local is_done, is_common = pcall(look)
if not is_done or not is_common then return nil end

local first = redis.pcall('XADD', events_key, '*', 'event', event, 'task', task, 'from', from, 'to', to, 'attempt', attempt,
  'worker', worker)
if type(first) == 'table' then return nil end

local of = state.batch .. ':'
state.status, state.finished, state.ended, state.resolved = to, now, state.attempt, true
state.note, state.percent, state.dataflow, state.delivery = nil, nil, nil, nil
local is_in_turn = not taken.sent and not taken.ahead
taken.status, taken.started, taken.worker, taken.delivery = from, now, holder, claim
taken.finished, taken.begins, taken.ahead = nil, nil, nil
taken.percent, taken.note, taken.noted, taken.told = nil, nil, nil, nil
local begun = cjson.encode(taken)
redis.call('HSET', outcomes_key, task, outcome)
redis.call('HSET', states_key, task, cjson.encode(state), asked, begun)
redis.call('HSET', counts_key, 'resolved', counts[1] + 1, to, counts[2] + 1, of .. 'resolved', counts[3] + 1, of .. to,
  counts[4] + 1)
if taken.batch ~= state.batch then
  redis.call('HINCRBY', counts_key, of .. from, -1)
  redis.call('HINCRBY', counts_key, taken.batch .. ':' .. from, 1)
end
redis.call('ZREM', slots_key, task)
redis.call('ZADD', slots_key, now + tonumber(lease_ms), asked)
if earlier then
  local took = math.max(0, now - math.max(state.started, state.begins or 0))
  record_duration(did .. ' ' .. task, earlier, took, kept, kept_ms, counts[3] == 0)
end
if is_in_turn then redis.pcall('HSET', last_started_key, does, -waits_since) end
record('work_started', 'task', asked, 'from', 'pending', 'to', from, 'attempt', number, 'worker', holder, 'specialist', does)
trim_events()
local messages = shared('celery:' .. queue)
redis.pcall('RPOP', messages)
redis.pcall('SET', taken_key, claim .. ' ' .. queue .. '\n' .. text, 'PX', 2 * lease_ms)

return {
  {'finished', to, state.batch, counts[5], counts[3] + 1, counts[6], counts[7]},
  { meta[1] },
  { queue, text, feature, asked, number, 'started', described, meta[11], begun, meta[1], 0 },
}
