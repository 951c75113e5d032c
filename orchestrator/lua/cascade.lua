-- Answer "what may start now?" and launch it: retries that are due, the next batch when the one before it is
-- resolved, then the ready tasks, in launch order, into the free slots. Last, the feature's status follows its tasks.
-- In dataflow a task is ready when all it depends on is resolved; batches are opened all the same, for reports.
-- A function of the stored state alone, so that any number of repetitions does no harm.
--
-- Where Celery's broker is this Redis, it also publishes what it launches: no crash can come in between. A message is
-- written as kombu's Redis transport writes it (Celery message protocol 2); all of a batch share a group id.
--
-- KEYS  1 meta  2 states  3 counts  4 batches  5 ready  6 slots  7 delayed  8 plan  9 unassigned
--       10 events  11 active  12 waits  13 dependents  14 resolved (the last three: dataflow only)
--       15 finished  16 limits  17 waiting  18 freed  19 tasks
-- ARGV  1 feature id  2 statuses in which a feature is over, comma-separated  3 events kept
--       4 JSON {specialist: its queue, where that is not its name}; "": the caller publishes what was launched
--       5 prefix of the keys that all features share
-- The cause of person_awaited is "review", "specialist", "launch" or "decision".
-- Output JSON: status, launched [[task, attempt, specialist], …], opened [batch, …], wake [feature, …] (whose cascade is
--       to run now, for a limit lets it go on); or nil where there is no such feature
local meta = redis.call('HMGET', KEYS[1], 'status', 'cap', 'batch', 'batches', 'auto_launch', 'released', 'total',
  'table', 'paused', 'stops', 'strategy', 'started', 'limited', 'resourced')
local status = meta[1]
if not status then return nil end

local time = redis.call('TIME')
local exact = time[1] * 1000 + time[2] / 1000
local now = math.floor(exact)
local batch, batches = tonumber(meta[3]), tonumber(meta[4])
local paused = meta[9] == '1'
local dataflow = meta[11] == 'dataflow'
local launched, opened, fresh = {}, {}, {}
local queues = ARGV[4] ~= '' and cjson.decode(ARGV[4])
local places, waits, limits = {}, {}, {}
local stored = redis.call('HGETALL', KEYS[16])
for place = 1, #stored, 2 do limits[stored[place]] = stored[place + 1] end

local function is_over()
  return string.find(',' .. ARGV[2] .. ',', ',' .. status .. ',', 1, true) ~= nil
end

local function record(...)
  redis.call('XADD', KEYS[10], 'MAXLEN', '~', ARGV[3], '*', ...)
end

local function counts(...)
  local found = redis.call('HMGET', KEYS[3], ...)
  for place = 1, #found do found[place] = tonumber(found[place] or 0) end
  return unpack(found)
end

local function is_resolved(number)
  local resolved, total = counts(number .. ':resolved', number .. ':total')
  return resolved >= total
end

local function happen(event, cause)
  -- One row of the table is decoded, not all of it: this runs for each task that ends.
  local arrow = string.match(meta[8], '"' .. event .. '": (%b{})')
  local target = arrow and cjson.decode(arrow)[status]
  if not target then return end
  record('event', event, 'from', status, 'to', target, 'cause', cause or '')
  status = target
  redis.call('HSET', KEYS[1], 'status', status)
  if is_over() then
    redis.call('HSET', KEYS[1], 'finished', now)
    redis.call('SREM', KEYS[11], ARGV[1])
    redis.call('ZADD', KEYS[15], now, ARGV[1])
  end
end

local function state_of(task)
  local stored = redis.call('HGET', KEYS[2], task)
  return stored and cjson.decode(stored)
end

local function placed(task)
  places[task] = places[task] or redis.call('HGET', KEYS[8], task)
  local rank, its_batch, specialist = string.match(places[task], '^(%d+):(%d+):(.*)$')
  return tonumber(rank), tonumber(its_batch), specialist
end

local function make_ready(task)
  local rank, _, specialist = placed(task)
  if specialist == '' then
    if redis.call('SADD', KEYS[9], task) == 1 then record('event', 'specialist_awaited', 'task', task) end
  else
    redis.call('ZADD', KEYS[5], rank, task)
  end
end

local function take_up_due_retries()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now)) do
    redis.call('ZREM', KEYS[7], task)
    make_ready(task)
  end
end

local function take_its_turn(task)
  -- A task that a person held, deferred, cancelled or skipped before its turn has a state already.
  local state = state_of(task)
  if not state or state.status == 'pending' then
    fresh[task] = state or 'new'
    make_ready(task)
  end
end

local function may_open(number)
  if dataflow then return true end
  if number <= tonumber(meta[6]) then return true end
  return meta[5] == '1' and not string.find(',' .. (meta[10] or '') .. ',', ',' .. number .. ',', 1, true)
end

local function open_batches()
  while batch < batches and (batch == 0 or is_resolved(batch)) do
    if not may_open(batch + 1) then return end
    batch = batch + 1
    opened[#opened + 1] = batch
    if batch == 1 or not dataflow then
      for _, task in ipairs(cjson.decode(redis.call('HGET', KEYS[4], batch)).tasks) do take_its_turn(task) end
    end
    redis.call('HSET', KEYS[1], 'batch', batch, 'batch_started', now, 'overdue', 0)
    record('event', 'batch_opened', 'batch', batch, 'total', (counts(batch .. ':total')))
  end
end

local function release(task)
  if redis.call('HINCRBY', KEYS[12], task, -1) > 0 then return end
  redis.call('HDEL', KEYS[12], task)
  local has_begun = redis.call('ZSCORE', KEYS[6], task) or redis.call('ZSCORE', KEYS[7], task)
  if not has_begun then take_its_turn(task) end
end

local function hold_up(task)
  redis.call('HINCRBY', KEYS[12], task, 1)
  redis.call('ZREM', KEYS[5], task)
  redis.call('SREM', KEYS[9], task)
  for class in pairs(waits) do redis.call('ZREM', KEYS[17] .. ':' .. class, task) end
end

local function update_dependents()
  for _, entry in ipairs(redis.call('LRANGE', KEYS[14], 0, -1)) do
    local sign, task = string.match(entry, '^([+-])(.*)$')
    local dependents = redis.call('HGET', KEYS[13], task)
    for _, dependent in ipairs(dependents and cjson.decode(dependents) or {}) do
      if sign == '+' then release(dependent) else hold_up(dependent) end
    end
  end
  redis.call('DEL', KEYS[14])
end

local function publish(task, state, specialist)
  local attempt = string.format('%s:%s:%d', ARGV[1], task, state.attempt)
  local queue = queues[specialist] or specialist
  redis.call('LPUSH', queue, cjson.encode({
    body = '[' .. cjson.encode({ ARGV[1], task, state.attempt }) .. ',{},{}]',
    ['content-type'] = 'application/json',
    ['content-encoding'] = 'utf-8',
    headers = {
      lang = 'py',
      task = specialist,
      id = attempt,
      group = string.format('%s:%d', ARGV[1], state.batch),
      argsrepr = string.format("('%s', '%s', %d)", ARGV[1], task, state.attempt),
    },
    properties = {
      delivery_mode = 1,
      delivery_tag = attempt .. ':' .. now,
      delivery_info = { exchange = '', routing_key = queue },
    },
  }))
end

-- Limits hold over all features: so many units of a limit are held at once, or so many tokens come in a time. A task
-- that lacks one holds none of the others. It waits in its class (the tasks of the feature that need the same: its
-- specialist, and its resources as "name=units"), and the class stands in the queue of one limit, the first that it
-- lacks: by priority, then by turn. Whoever is served goes to the back. Only the front of a queue is served.
local ASIDE = 9e12 -- added to the place in a queue of what needs more than there is: it holds nobody up
local used, rates, touched, wake = {}, {}, {}, {}

local function shared(...)
  return ARGV[5] .. ':' .. table.concat({ ... }, ':')
end

local function next_turn()
  return redis.call('INCR', shared('turn'))
end

local function class_of(task)
  local _, _, class = placed(task)
  if not meta[14] then return class end
  local stored, needed = redis.call('HGET', KEYS[19], task), {}
  for name, units in pairs(stored and cjson.decode(stored).resources or {}) do
    needed[#needed + 1] = string.format(',%s=%d', name, units)
  end
  table.sort(needed)
  return class .. table.concat(needed)
end

local needs = {}
local function needs_of(class)
  if needs[class] then return needs[class] end
  local specialist, found = string.match(class, '^[^,]*'), {}
  local function need(limit, units)
    if limits[limit] or units then found[#found + 1] = { limit, units or 1 } end
  end
  need('total')
  need('specialist:' .. specialist)
  for name, units in string.gmatch(class, ',([^=]+)=(%d+)') do need('resource:' .. name, tonumber(units)) end
  need('rate:' .. specialist)
  needs[class] = found
  return found
end

local function rate_of(limit)
  if rates[limit] == nil then
    local interval, burst = string.match(limits[limit] or '', '^(%S+) (%d+)$')
    rates[limit] = interval and { tonumber(interval), tonumber(burst) } or false
  end
  return rates[limit]
end

-- GCRA (ATM Forum, "Traffic Management 4.0", 4.4.2): what is stored is the moment at which the bucket is full again.
local function full_again(limit)
  return tonumber(redis.call('HGET', shared('full'), limit) or 0)
end

local function next_token(limit)
  local interval, burst = unpack(rate_of(limit))
  return full_again(limit) - (burst - 1) * interval
end

local function is_too_much(limit, units)
  return not rate_of(limit) and units > tonumber(limits[limit] or 0)
end

local function has_room(limit, units)
  if rate_of(limit) then return exact >= next_token(limit) end
  used[limit] = used[limit] or tonumber(redis.call('HGET', shared('used'), limit) or 0)
  return used[limit] + units <= tonumber(limits[limit] or 0)
end

local function use(limit, units)
  used[limit] = redis.call('HINCRBY', shared('used'), limit, units)
end

local function take(task, class)
  local holds
  for _, need in ipairs(needs_of(class)) do
    local limit, units = unpack(need)
    if rate_of(limit) then
      local full = math.max(exact, full_again(limit)) + rate_of(limit)[1]
      redis.call('HSET', shared('full'), limit, string.format('%.3f', full))
    else
      use(limit, units)
      redis.call('HSET', shared('holders', limit), ARGV[1] .. ':' .. task, units)
      holds = holds or {}
      holds[limit] = units
    end
  end
  return holds
end

local function give_back(task, holds)
  for limit, units in pairs(holds) do
    if redis.call('HDEL', shared('holders', limit), ARGV[1] .. ':' .. task) == 1 then
      use(limit, -units)
      touched[limit] = true
    end
  end
end

local function give_back_what_ended()
  for _, entry in ipairs(redis.call('LRANGE', KEYS[18], 0, -1)) do give_back(unpack(cjson.decode(entry))) end
  redis.call('DEL', KEYS[18])
end

local function give_back_what_will_not_start()
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', 0)) do
    local state = state_of(task)
    if state.holds then
      give_back(task, state.holds)
      state.holds = nil
      redis.call('HSET', KEYS[2], task, cjson.encode(state))
    end
  end
end

local PRIORITIES = { high = 0, medium = 1, low = 2 }
local function priority_of(task)
  local stored = redis.call('HGET', KEYS[19], task)
  return PRIORITIES[stored and cjson.decode(stored).priority or 'medium']
end

local function tasks_of(class)
  return KEYS[17] .. ':' .. class
end

local function place_in(limit, class)
  local first = redis.call('ZRANGE', tasks_of(class), 0, 0)[1]
  local place = priority_of(first) * 1e12 + waits[class].turn
  for _, need in ipairs(needs_of(class)) do
    if need[1] == limit and is_too_much(unpack(need)) then place = place + ASIDE end
  end
  return place
end

local function leave_queue(class)
  local limit = waits[class].limit
  if redis.call('ZREM', shared('waiting', limit), ARGV[1] .. ' ' .. class) == 1 then touched[limit] = true end
end

local function join_queue(class)
  local limit = waits[class].limit
  redis.call('ZADD', shared('waiting', limit), string.format('%.0f', place_in(limit, class)), ARGV[1] .. ' ' .. class)
  touched[limit] = true
end

-- The class is in no queue while this is asked, so that it does not stand behind itself.
local function lacks(class, place)
  for _, need in ipairs(needs_of(class)) do
    local limit = need[1]
    if not has_room(unpack(need)) then return limit end
    local front = redis.call('ZRANGE', shared('waiting', limit), 0, 0, 'WITHSCORES')
    if front[1] and (place or place_in(limit, class)) > tonumber(front[2]) then return limit end
  end
end

local function by_turn()
  local order = {}
  for class in pairs(waits) do order[#order + 1] = { class, place_in('', class) } end
  table.sort(order, function(one, other) return one[2] < other[2] end)
  return order
end

-- The other classes of the feature that wait for the same go to the back with it, before it: all have one share.
local function go_to_the_back(class)
  for _, place in ipairs(by_turn()) do
    local other = place[1]
    for _, need in ipairs(other ~= class and needs_of(class) or {}) do
      if waits[other].limit == need[1] then
        waits[other].turn = next_turn()
        if redis.call('ZSCORE', shared('waiting', need[1]), ARGV[1] .. ' ' .. other) then join_queue(other) end
      end
    end
  end
  waits[class].turn = next_turn()
end

local function look_at_waiting()
  if not meta[13] then return end
  local stored = redis.call('HGETALL', KEYS[17])
  for place = 1, #stored, 2 do
    local limit, turn = string.match(stored[place + 1], '^(%S+) (%d+)$')
    waits[stored[place]] = { limit = limit, turn = tonumber(turn) }
  end
end

local function drop_empty_classes()
  for class in pairs(waits) do
    if redis.call('EXISTS', tasks_of(class)) == 0 then
      leave_queue(class)
      redis.call('HDEL', KEYS[17], class)
      waits[class] = nil
    end
  end
end

local function give_up_waiting()
  for class in pairs(waits) do
    leave_queue(class)
    redis.call('DEL', tasks_of(class))
    waits[class] = nil
  end
  redis.call('DEL', KEYS[17])
end

-- Where no slot is free, or the feature is paused, its classes stand in no queue: they would hold others up.
local function keep_waiting(may_launch)
  drop_empty_classes()
  for class, wait in pairs(waits) do
    if may_launch then join_queue(class) else leave_queue(class) end
    redis.call('HSET', KEYS[17], class, wait.limit .. ' ' .. string.format('%.0f', wait.turn))
  end
  if next(waits) then
    redis.call('HSET', KEYS[1], 'limited', '1')
  elseif meta[13] then
    redis.call('HDEL', KEYS[1], 'limited')
  end
  meta[13] = next(waits) and '1'
end

local function wake_at_next_token(limit)
  local moment = next_token(limit)
  local is_new = redis.call('ZADD', shared('due'), string.format('%.3f', moment), limit) == 1
  if is_new and redis.call('ZRANGE', shared('due'), 0, 0)[1] == limit then
    redis.call('PUBLISH', shared('wake'), limit)
  end
end

local function wake_front(limit)
  local front = redis.call('ZRANGE', shared('waiting', limit), 0, 0, 'WITHSCORES')
  if not front[1] then return end
  local feature, class = string.match(front[1], '^(%S+) (.*)$')
  if redis.call('EXISTS', ARGV[5] .. ':{' .. feature .. '}:meta') == 0 then
    redis.call('ZREM', shared('waiting', limit), front[1])
    return wake_front(limit)
  end
  local units = 0
  for _, need in ipairs(needs_of(class)) do
    if need[1] == limit then units = need[2] end
  end
  -- No units: the limit is no more.
  local is_to_step_aside = is_too_much(limit, units) and tonumber(front[2]) < ASIDE
  if units == 0 or is_to_step_aside or has_room(limit, units) then
    wake[#wake + 1] = feature
  elseif rate_of(limit) then
    wake_at_next_token(limit)
  end
end

local function launch(task, class)
  local _, its_batch, specialist = placed(task)
  local state = fresh[task] ~= 'new' and (fresh[task] or state_of(task))
    or { status = 'pending', attempt = 0, retried = 0, lost = 0, batch = its_batch }
  -- So that finish knows, without another read.
  if dataflow then state.dataflow = true end
  local queued = state.attempt == 0 and not fresh[task]
  state.attempt, state.sent = state.attempt + 1, nil
  if class then state.holds = take(task, class) end
  redis.call('HSET', KEYS[2], task, cjson.encode(state))
  redis.call('ZADD', KEYS[6], -now, task)
  record('event', 'task_launched', 'task', task, 'attempt', state.attempt, 'batch', state.batch,
    unpack(queued and { 'cause', 'queued' } or {}))
  launched[#launched + 1] = { task, state.attempt, specialist }
  if queues then publish(task, state, specialist) end
end

local function free_slots()
  return tonumber(meta[2]) - redis.call('ZCARD', KEYS[6])
end

local function serve(class)
  leave_queue(class)
  while free_slots() > 0 and redis.call('EXISTS', tasks_of(class)) == 1 do
    local limit = lacks(class)
    if limit then
      waits[class].limit = limit
      return join_queue(class)
    end
    launch(redis.call('ZPOPMIN', tasks_of(class))[1], class)
    if redis.call('EXISTS', tasks_of(class)) == 1 then go_to_the_back(class) end
  end
end

local function launch_or_wait(task, rank)
  local class = class_of(task)
  local limit = not waits[class] and lacks(class, priority_of(task) * 1e12 + ASIDE / 10)
  if not limit and not waits[class] then return launch(task, class) end
  redis.call('ZADD', tasks_of(class), rank, task)
  waits[class] = waits[class] or { limit = limit, turn = next_turn() }
end

local function fill_slots_within_limits()
  drop_empty_classes()
  for _, place in ipairs(by_turn()) do serve(place[1]) end
  while free_slots() > 0 do
    local popped = redis.call('ZPOPMIN', KEYS[5], free_slots())
    if #popped == 0 then break end
    for place = 1, #popped, 2 do launch_or_wait(popped[place], popped[place + 1]) end
  end
  keep_waiting(free_slots() > 0)
end

local function fill_slots()
  if next(limits) or meta[13] or meta[14] then
    fill_slots_within_limits()
  else
    local free = free_slots()
    if free > 0 then
      local popped = redis.call('ZPOPMIN', KEYS[5], free)
      for place = 1, #popped, 2 do launch(popped[place]) end
    end
  end
  local waiting = redis.call('ZCARD', KEYS[5])
  if #opened > 0 and waiting > 0 then
    record('event', 'at_capacity', 'batch', batch, 'in_flight', redis.call('ZCARD', KEYS[6]), 'waiting', waiting)
  end
end

local function is_idle()
  for key = 5, 7 do
    if redis.call('ZCARD', KEYS[key]) > 0 then return false end
  end
  return next(waits) == nil
end

local function waits_for_a_limit(task)
  for class in pairs(waits) do
    if redis.call('ZSCORE', tasks_of(class), task) then return true end
  end
end

local function what_is_awaited()
  if counts('in-review') > 0 then return 'review' end
  if redis.call('SCARD', KEYS[9]) > 0 then return 'specialist' end
  if is_resolved(batch) then return 'launch' end
  return 'decision'
end

-- The gates of a feature run as an attempt of a task of their own, "@testing" or "@validating", outside all counts.
local function pass_feature_gates(stage, passed)
  if status ~= stage then return end
  local gates = '@' .. stage
  local state = state_of(gates)
  if state and state.status == 'completed' then return happen(passed) end
  if state and state.status ~= 'pending' and state.status ~= 'in-progress' then
    return happen('task_stopped', 'gate')
  end
  for key = 5, 7 do
    if redis.call('ZSCORE', KEYS[key], gates) then return end
  end
  if waits_for_a_limit(gates) then return end
  make_ready(gates)
  fill_slots()
end

local function gates_failed()
  for _, gates in ipairs({ '@testing', '@validating' }) do
    local state = state_of(gates)
    if state and (state.status == 'failed' or state.status == 'blocked') then return true end
  end
  return false
end

local function follow_tasks()
  if meta[12] then happen('first_task_started') end
  local resolved, failed, blocked = counts('resolved', 'failed', 'blocked')
  if resolved >= tonumber(meta[7]) then
    if gates_failed() then return happen('task_stopped', 'gate') end
    happen('all_tasks_complete')
    pass_feature_gates('testing', 'feature_tests_passed')
    pass_feature_gates('validating', 'feature_validated')
  elseif failed + blocked > 0 then
    happen('task_stopped')
  elseif paused then
    return
  elseif is_idle() then
    happen('person_awaited', what_is_awaited())
  else
    happen('all_resolved')
  end
end

look_at_waiting()
if next(limits) then give_back_what_ended() end
if not is_over() then
  take_up_due_retries()
  if not paused then
    open_batches()
    if dataflow then update_dependents() end
    fill_slots()
  elseif next(waits) then
    keep_waiting(false)
  end
  follow_tasks()
else
  -- An attempt that ends after the feature may ask for a retry; it gets none.
  redis.call('DEL', KEYS[5], KEYS[7], KEYS[9])
  give_up_waiting()
  if next(limits) then give_back_what_will_not_start() end
end
if dataflow and is_over() then redis.call('UNLINK', KEYS[12], KEYS[13], KEYS[14]) end
for limit in pairs(touched) do wake_front(limit) end

return cjson.encode({ status = status, launched = launched, opened = opened, wake = wake })
