-- Do what finish, schedule and take_next do, in the most common case: a task is completed in the midst of its
-- feature, at most the launch of tasks that depended on it follows, and the next message is one of the same
-- feature. It stores and answers exactly what these three would, at less than half of their cost. Any other case
-- is left to them, unchanged.
--
-- keys: meta states slots plan tasks counts ready outcomes minimum taken last_started delayed unassigned
--   released waiting limits dependency_updates dependents waits
-- args: known task attempt steps outcome wait uses cause route worker delivery kept kept_ms note allowed lease_ms holder claim newest
--   known   as in check_schema.lua; then the arguments of finish.lua; then those of take_next.lua, of which
--   holder  is its worker
--   claim   is its delivery
--   newest  is its `known`
-- answer: {the answer of finish.lua, that of schedule.lua, that of take_next.lua}, where nothing was launched in one
--   list; nil in any other case
local event, from, to = string.match(steps, '^(%S+) (%S+):(%S+)$')
if from ~= 'in-progress' or not RESOLVED[to] or wait .. uses .. cause .. route .. note ~= '' then return nil end
if delivery == '' or not queue_names then return nil end

local meta, state, counts, earlier -- of the task that is completed
local entry, queue, text, asked, number, taken, waits_since, described -- the next message, and its task
local did, does -- their specialists
local released, still_waiting = {}, {} -- of what depends on it
local ready, unready, left = {}, {}, {} -- to be launched; of these, those that were ready before; those that stay ready
local has_waiting = false -- some that were ready before
local passed = {} -- queues that are asked before, and are empty

local function specialist_of(plan)
  return string.match(plan or '', '^%d+:%d+:(.*)$')
end

local function has_nothing_else_to_do()
  if redis.call('EXISTS', ready_key, delayed_key, unassigned_key, released_key, waiting_key, limits_key,
    dependency_updates_key) == 0 then return true end
  has_waiting = redis.call('ZCARD', ready_key) > 0
  return has_waiting and redis.call('EXISTS', delayed_key, unassigned_key, released_key, waiting_key, limits_key,
    dependency_updates_key) == 0
end

-- Tasks are left, and nothing here stops the feature: so no event leads it out of in-development (see FeatureFlow.table).
local function is_in_the_midst()
  meta = redis.call('HMGET', meta_key, 'status', 'schema', 'batch', 'batches', 'total', 'paused', 'limited', 'resourced',
    'started', 'trace', 'head', 'cap', 'strategy', 'joins')
  return meta[1] == 'in-development' and meta[2] == known and meta[6] ~= '1' and not meta[7] and not meta[8] and meta[9]
end

local function find_message()
  for line in string.gmatch(allowed, '[^\n]+') do
    entry, queue = line, string.match(line, '^[^\t]+')
    text = redis.call('LINDEX', messages_in(queue), -1)
    if text then break end
    passed[queue] = true
  end
  local id
  if text then id, asked, number = attempt_of(text) end
  return id == feature and not is_gates(task) and not is_gates(asked)
end

-- The task runs in this attempt and delivery, and the other is launched.
local function are_as_they_should()
  local stored = redis.call('HMGET', states_key, task, asked)
  state, taken = stored[1] and cjson.decode(stored[1]), stored[2] and cjson.decode(stored[2])
  if not state or state.status ~= from or state.attempt ~= tonumber(attempt) or state.delivery ~= delivery
    or state.ended == state.attempt or state.ending or state.holds then return false end
  if not taken or taken.status ~= 'pending' or taken.attempt ~= number or taken.ending then return false end
  local scores = redis.call('ZMSCORE', slots_key, task, asked)
  waits_since = scores[2] and tonumber(scores[2])
  return scores[1] and tonumber(scores[1]) > 0 and waits_since and waits_since <= 0
end

-- The tasks that wait for it no longer, by dataflow.
local function find_released()
  local stored = state.dataflow and redis.call('HGET', dependents_key, task)
  if not stored then return true end
  local names = cjson.decode(stored)
  for place, count in ipairs(redis.call('HMGET', waits_key, unpack(names))) do
    if not count then return false end
    local list = tonumber(count) > 1 and still_waiting or released
    list[#list + 1] = names[place]
  end
  return true
end

-- The tasks to launch: the first of the ready and the released ones, as many as there are free slots.
local function find_ready()
  if not has_waiting and not released[1] then return true end
  local slots = tonumber(meta[12]) + 1 - redis.call('ZCARD', slots_key)
  if slots > MOST / 2 or slots < #released then return false end
  local found = has_waiting and slots > 0 and redis.call('ZRANGE', ready_key, 0, slots - 1, 'WITHSCORES') or {}
  local names, ranks = {}, {}
  for place = 1, #found, 2 do
    names[#names + 1], ranks[found[place]] = found[place], tonumber(found[place + 1])
  end
  for _, name in ipairs(released) do names[#names + 1] = name end
  if not names[1] then return true end
  local planned, stored = redis.call('HMGET', plan_key, unpack(names)), redis.call('HMGET', states_key, unpack(names))
  for place, name in ipairs(names) do
    plans[name], states[name] = read_plan(planned[place]), stored[place] and cjson.decode(stored[place])
    if not ranks[name] then
      if states[name] then return false end
      fresh[name], ranks[name] = 'new', plans[name][1]
    end
    if not ranks[name] or (plans[name][3] or '') == '' then return false end
    if states[name] and states[name].ahead then return false end -- it is the next message then
  end
  table.sort(names, function(one, other)
    if ranks[one] ~= ranks[other] then return ranks[one] < ranks[other] end
    return one < other
  end)
  for place, name in ipairs(names) do
    if place <= slots then
      ready[#ready + 1], ready[#ready + 2] = name, ranks[name]
      if not fresh[name] then unready[#unready + 1] = name end
    elseif fresh[name] then
      left[#left + 1], left[#left + 2] = ranks[name], name
    end
  end
  return true
end

-- Its end opens no batch, other tasks are left, and none has stopped.
local function is_followed_by_others()
  local of = state.batch .. ':'
  counts = redis.call('HMGET', counts_key, 'resolved', to, of .. 'resolved', of .. to, of .. 'total', 'failed', 'blocked')
  for place = 1, 5 do counts[place] = tonumber(counts[place] or 0) end
  if (counts[6] or '0') ~= '0' or (counts[7] or '0') ~= '0' or counts[1] + 1 >= tonumber(meta[5]) then return false end
  local is_open = meta[3] == meta[4]
  if not is_open and meta[3] == tostring(state.batch) then
    is_open = counts[3] + 1 < counts[5]
  elseif not is_open then
    local opened = redis.call('HMGET', counts_key, meta[3] .. ':resolved', meta[3] .. ':total')
    is_open = tonumber(opened[1] or 0) < tonumber(opened[2] or 0)
  end
  return is_open and find_released() and find_ready()
end

local function may_begin()
  if (tonumber(redis.call('GET', minimum_key)) or 0) > tonumber(newest) then return false end
  for place = 1, #ready, 2 do
    if passed[queue_of(plans[ready[place]][3])] then return false end -- it is the next message then
  end
  local places = redis.call('HMGET', plan_key, task, asked)
  did, does = specialist_of(places[1]), specialist_of(places[2])
  described = redis.call('HGET', tasks_key, asked)
  return did and does and string.find(entry .. '\t', '\t' .. does .. '\t', 1, true) and queue_of(does) == queue
    and is_message_of(text, asked, number, taken.batch, does, meta[10])
end

-- All reads come before the first write. Where one fails, the other scripts say of which key.
local function look()
  if not (has_nothing_else_to_do() and is_in_the_midst() and find_message() and are_as_they_should() and is_followed_by_others()
    and may_begin()) then return false end
  if tonumber(kept) > 0 then earlier = read_durations(did .. ' ' .. task) end
  local found = redis.call('TYPE', outcomes_key).ok
  return found == 'hash' or found == 'none'
end
local is_done, is_common = pcall(look)
if not is_done or not is_common then return nil end

if not try_record(event, 'task', task, 'from', from, 'to', to, 'attempt', attempt, 'worker', worker) then return nil end

local of = state.batch .. ':'
state.status, state.finished, state.ended, state.resolved = to, now, state.attempt, true
state.note, state.percent, state.dataflow, state.delivery = nil, nil, nil, nil
local is_in_turn = not taken.sent and not taken.ahead
taken.status, taken.started, taken.worker, taken.delivery = from, now, holder, claim
taken.finished, taken.begins, taken.ahead = nil, nil, nil
taken.percent, taken.note, taken.noted, taken.told = nil, nil, nil, nil
local begun = cjson.encode(taken)
redis.call('HSET', outcomes_key, task, outcome)
save_state(task, state)
save_state(asked, taken, begun)
redis.call('HSET', counts_key, 'resolved', counts[1] + 1, to, counts[2] + 1, of .. 'resolved', counts[3] + 1, of .. to,
  counts[4] + 1)
if taken.batch ~= state.batch then
  redis.call('HINCRBY', counts_key, of .. from, -1)
  redis.call('HINCRBY', counts_key, taken.batch .. ':' .. from, 1)
end
redis.call('ZREM', slots_key, task)
redis.call('ZADD', slots_key, now + tonumber(lease_ms), asked)
for _, name in ipairs(still_waiting) do redis.call('HINCRBY', waits_key, name, -1) end
if released[1] then redis.call('HDEL', waits_key, unpack(released)) end
if left[1] then redis.call('ZADD', ready_key, unpack(left)) end
if unready[1] then redis.call('ZREM', ready_key, unpack(unready)) end
if ready[1] then
  launch_all({ joins = meta[13] == 'dataflow' or meta[14] == '1', trace = meta[10] or nil }, ready)
end
if earlier then
  local took = math.max(0, now - math.max(state.started, state.begins or 0))
  record_duration(did .. ' ' .. task, earlier, took, kept, kept_ms, counts[3] == 0)
end
if is_in_turn then redis.pcall('HSET', last_started_key, does, -waits_since) end
record('work_started', 'task', asked, 'from', 'pending', 'to', from, 'attempt', number, 'worker', holder, 'specialist', does)
write_states()
if counts[1] % 16 == 0 then trim_events() end
redis.pcall('RPOP', messages_in(queue))
redis.pcall('SET', taken_key, claim .. ' ' .. queue .. '\n' .. text, 'PX', 2 * lease_ms)

local finished = { 'finished', to, state.batch, counts[5], counts[3] + 1, 0, 0 }
local begins = { queue, text, feature, asked, number, 'started', described, meta[11], begun, meta[1], 0 }
if launched[1] then return { finished, { meta[1], launched, {}, {} }, begins } end
finished[8] = meta[1]
for place = 1, 11 do finished[8 + place] = begins[place] end
return finished
