-- Publish the message of a launched task, where Celery's broker is this Redis: no crash can come between a
-- launch and its message. A message is written as kombu's Redis transport writes it (Celery message protocol
-- 2); all of a batch share a group id. Workers take from the right of a queue.
--
-- keys: tasks

-- {specialist: its queue}, for queues that have another name than their specialist; false if the broker is another one.
-- 'call:' stands for all called tasks that are not named.
local queue_names = queues ~= '' and (queues == '{}' and {} or cjson.decode(queues))

local function is_call(specialist)
  return string.sub(specialist, 1, 5) == 'call:'
end

-- '' where the caller sends the messages of the specialist.
local function queue_of(specialist)
  local name = queue_names[specialist]
  if name == nil and is_call(specialist) then name = queue_names['call:'] end
  if name == nil then return specialist end
  return name or ''
end

local function messages_in(queue)
  return queue_prefix .. queue
end

-- Whether the task may say itself how its message is sent (see CallOptions).
local function has_options(task)
  local stored = redis.pcall('HGET', tasks_key, task)
  return type(stored) ~= 'string' or string.find(stored, '"options":{', 1, true)
end

-- As identifiers.encode does; the gates of a feature keep their name.
local function encode_id(id)
  if not string.find(id, '[^A-Za-z0-9_.-]') or is_gates(id) then return id end
  return (string.gsub(id, '[^A-Za-z0-9_.-]', function(sign) return string.format('~%02X', string.byte(sign)) end))
end

-- A text as it stands within a text of JSON.
local function quote(text)
  return string.find(text, '[%c"\\\127]') and string.sub(cjson.encode(text), 2, -2) or text
end

-- The same, where that is a text of JSON itself. Most have nothing to be quoted.
local function quote_in_text(quoted)
  return string.find(quoted, '\\', 1, true) and string.gsub(quoted, '["\\]', '\\%0') or quoted
end

-- Always in this form, by which it is known again (see messages.lua).
local function message_of(task, attempt, batch, specialist, trace, token, published_at)
  local queue = queue_of(specialist)
  local of, name = feature, task
  local quoted_of, quoted_name, quoted_specialist, quoted_queue = feature, task, specialist, queue
  if string.find(feature .. task .. specialist .. queue, '[^%w_.-]') then
    of, name = encode_id(feature), encode_id(task)
    quoted_of, quoted_name, quoted_specialist, quoted_queue = quote(feature), quote(task), quote(specialist), quote(queue)
  end
  local id = of .. ':' .. name .. ':' .. attempt .. ':' .. token
  trace = trace and trace ~= '{}' and string.sub(trace, 2, -2) .. ',' or ''
  return '{"body":"[[\\"' .. quote_in_text(quoted_of) .. '\\",\\"' .. quote_in_text(quoted_name) .. '\\",' .. attempt
    .. '],{},{}]","content-encoding":"utf-8","content-type":"application/json","headers":{' .. trace .. '"argsrepr":"(\'' .. quoted_of
    .. "', '" .. quoted_name .. "', " .. attempt .. ')","group":"' .. of .. ':' .. batch .. '","id":"' .. id
    .. '","lang":"py","task":"' .. quoted_specialist .. '"},"properties":{"delivery_info":{"exchange":"","routing_key":"'
    .. quoted_queue .. '"},"delivery_mode":1,"delivery_tag":"' .. (#id < 500 and id or redis.sha1hex(id)) .. ':' .. published_at
    .. '"}}'
end

local this_moment = string.format('%.0f', now)

-- `trace`: JSON headers of the feature's trace, or nil. The id of a message ends in `random`, which nobody
-- can guess, and in another one where it is sent again. False: the caller is to send it.
local function publish_task(task, state, specialist, trace)
  local queue = queue_of(specialist)
  if queue == '' or is_call(specialist) and has_options(task) then return false end
  local message = message_of(task, state.attempt, state.batch, specialist, trace, random, this_moment)
  -- A key that is no queue is left alone, and the message is sent again later as one that was lost: an error
  -- here would come after the script has written.
  redis.pcall((state.ahead or state.sent) and 'RPUSH' or 'LPUSH', messages_in(queue), message)
  return true
end
