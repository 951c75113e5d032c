-- Take the next message of a worker's queues and begin its attempt, in one step: for a process that has just ended one.
-- A message is taken only where its attempt begins. Any other one is left where it is, for Celery to take it.
--
-- keys: meta states slots tasks plan counts events minimum taken
-- args: allowed lease_ms worker delivery known
--   allowed   JSON [[queue, [specialist, …]], …]: the queues in the order in which they are asked, each with the specialists
--             whose messages may be taken from it ("[]": take nothing)
--   delivery  as in start.lua, so that the process may ask twice
--   known     the newest schema that the worker reads
-- answer: {queue, message, feature, task, attempt, the answer of start.lua}; nil where nothing was taken

-- From here on, the functions on a feature work on this one.
local function turn_to(other)
  local from, to = key_of(feature, ''), key_of(other, '')
  for place, key in ipairs(KEYS) do
    if string.sub(key, 1, #from) == from then KEYS[place] = to .. string.sub(key, #from + 1) end
  end
  feature = other
end

local function is_readable()
  if wrong_type(meta_key, 'hash') or wrong_type(states_key, 'hash') or wrong_type(slots_key, 'zset')
    or wrong_type(tasks_key, 'hash') or wrong_type(plan_key, 'hash') or wrong_type(counts_key, 'hash')
    or wrong_type(events_key, 'stream') then return false end
  return (tonumber(redis.call('HGET', meta_key, 'schema')) or 1) <= tonumber(known)
end

local function set_of(names)
  local found = {}
  for _, name in ipairs(names) do found[name] = true end
  return found
end

local function begin(queue, text, specialists)
  local message = read_message(text, queue)
  local specialist = message and message.headers.task
  if not specialist or not specialists[specialist] then return nil end
  local id, asked, number = attempt_of(message)
  if not id then return nil end
  if id ~= feature then
    turn_to(id)
    if not is_readable() then return nil end
  end
  if not has_known_headers(message.headers) then return nil end
  local answer = start_attempt(asked, number, lease_ms, worker, specialist, delivery, false)
  return answer[1] == 'started' and { queue, text, id, asked, number, answer } or nil
end

allowed = cjson.decode(allowed)
if #allowed == 0 then return nil end
if (tonumber(redis.call('GET', minimum_key)) or 0) > tonumber(known) then return nil end

-- The same delivery may ask again, because the answer was lost.
local taken = not commit.is_new and redis.call('GET', taken_key)
if taken and string.sub(taken, 1, #delivery + 1) == delivery .. ' ' then
  local queue, text = string.match(taken, '^[^\n]* ([^\n]*)\n(.*)$')
  for _, entry in ipairs(allowed) do
    if entry[1] == queue then
      local found = begin(queue, text, set_of(entry[2]))
      if found then return found end
    end
  end
end

for _, entry in ipairs(allowed) do
  local queue = entry[1]
  local messages = shared('celery:' .. queue)
  local text = redis.pcall('LINDEX', messages, -1) -- a key of another type is no queue
  local found = type(text) == 'string' and begin(queue, text, set_of(entry[2]))
  if found then
    redis.pcall('RPOP', messages) -- without the right to it the message stays, and comes as a repetition
    redis.call('SET', taken_key, delivery .. ' ' .. queue .. '\n' .. text, 'PX', 2 * lease_ms)
    return found
  end
end
return nil
