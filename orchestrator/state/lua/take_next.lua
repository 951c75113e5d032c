-- Take the next message of a worker's queues and begin its attempt, in one step: for a process that has just ended one.
-- A message is taken only where its attempt begins. Any other one is left where it is, for Celery to take it.
--
-- keys: meta states slots tasks plan counts events minimum taken
-- args: allowed lease_ms worker delivery known
--   allowed   a line "queue specialist …", parted by tabs, for each queue in the order in which they are asked, with the
--             specialists whose messages may be taken from it ("": take nothing)
--   delivery  as in start.lua, so that the process may ask twice
--   known     the newest schema that the worker reads
-- answer: {queue, message, feature, task, attempt, then the answer of start.lua}; nil where nothing was taken

-- From here on, the functions on a feature work on this one.
local function turn_to(other)
  flush()
  local from, to = key_of(feature, ''), key_of(other, '')
  for place, key in ipairs(KEYS) do
    if string.sub(key, 1, #from) == from then KEYS[place] = to .. string.sub(key, #from + 1) end
  end
  feature, rare_keys, is_any_ready, states, counted, plans = other, 1, true, {}, {}, {}
  close_meta()
end

local function is_readable()
  if wrong_type(meta_key, 'hash') or wrong_type(states_key, 'hash') or wrong_type(slots_key, 'zset')
    or wrong_type(tasks_key, 'hash') or wrong_type(plan_key, 'hash') or wrong_type(counts_key, 'hash')
    or wrong_type(events_key, 'stream') then return false end
  return (tonumber(open_meta().schema) or 1) <= tonumber(known)
end

-- `entry`: the line of the queue.
local function begin(queue, text, entry)
  local id, asked, number = attempt_of(text)
  if not id then return nil end
  if id ~= feature then
    turn_to(id)
    if not is_readable() then return nil end
  end
  local state, _, _, specialist = state_of(asked), plan_of(asked)
  if not state or not string.find(entry .. '\t', '\t' .. specialist .. '\t', 1, true) then return nil end
  if queue_of(specialist) ~= queue then return nil end
  if not is_message_of(text, asked, number, state.batch, specialist, open_meta().trace) then return nil end
  local answer = start_attempt(asked, number, lease_ms, worker, specialist, delivery, false)
  return answer[1] == 'started' and { queue, text, id, asked, number, unpack(answer) } or nil
end

if allowed == '' or not queue_names then return nil end
local minimum = redis.pcall('GET', minimum_key)
if type(minimum) == 'table' or (tonumber(minimum) or 0) > tonumber(known) then return nil end

-- The same delivery may ask again, because the answer was lost.
local taken = not commit.is_new and redis.pcall('GET', taken_key)
if type(taken) == 'string' and string.sub(taken, 1, #delivery + 1) == delivery .. ' ' then
  local queue, text = string.match(taken, '^[^\n]* ([^\n]*)\n(.*)$')
  for entry in string.gmatch(allowed, '[^\n]+') do
    local found = string.match(entry, '^[^\t]+') == queue and begin(queue, text, entry)
    if found then return found end
  end
end

for entry in string.gmatch(allowed, '[^\n]+') do
  local queue = string.match(entry, '^[^\t]+')
  local text = redis.pcall('LINDEX', messages_in(queue), -1) -- a key of another type is no queue
  local found = type(text) == 'string' and begin(queue, text, entry)
  if found then
    redis.pcall('RPOP', messages_in(queue)) -- without the right to it the message stays, and comes as a repetition
    redis.pcall('SET', taken_key, delivery .. ' ' .. queue .. '\n' .. text, 'PX', 2 * lease_ms)
    return found
  end
end
return nil
