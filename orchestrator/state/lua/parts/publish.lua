-- Publish the message of a launched task, where Celery's broker is this Redis: no crash can come between a
-- launch and its message. A message is written as kombu's Redis transport writes it (Celery message protocol
-- 2); all of a batch share a group id. Workers take from the right of a queue.
--
-- keys: meta

-- {specialist: its queue}, for queues that have another name than their specialist; false if the broker is another one.
local queue_names = queues ~= '' and (queues == '{}' and {} or cjson.decode(queues))

local function queue_of(specialist)
  return queue_names[specialist] or specialist
end

-- As identifiers.encode does; the gates of a feature keep their name.
local function encode_id(id)
  if not string.find(id, '[^A-Za-z0-9_.-]') or is_gates(id) then return id end
  return (string.gsub(id, '[^A-Za-z0-9_.-]', function(sign) return string.format('~%02X', string.byte(sign)) end))
end

-- A text as JSON.
local function quote(text)
  return string.find(text, '[%c"\\\127]') and cjson.encode(text) or '"' .. text .. '"'
end

-- A text as JSON in JSON.
local function quote_twice(text)
  return string.gsub(quote(text), '["\\]', '\\%0')
end

-- The id of a message, but for its token.
local function message_id(task, attempt)
  return encode_id(feature) .. ':' .. encode_id(task) .. ':' .. attempt .. ':'
end

-- Always in this form, by which it is known again (see messages.lua).
local function message_of(task, attempt, batch, specialist, trace, token, moment)
  local id = message_id(task, attempt) .. token
  trace = trace and trace ~= '{}' and string.sub(trace, 2, -2) .. ',' or ''
  return '{"body":"[[' .. quote_twice(feature) .. ',' .. quote_twice(task) .. ',' .. attempt .. '],{},{}]","content-encoding":"utf-8","content-type":"application/json","headers":{' .. trace
    .. '"argsrepr":' .. quote("('" .. feature .. "', '" .. task .. "', " .. attempt .. ')')
    .. ',"group":"' .. encode_id(feature) .. ':' .. batch .. '","id":"' .. id .. '","lang":"py","task":' .. quote(specialist)
    .. '},"properties":{"delivery_info":{"exchange":"","routing_key":' .. quote(queue_of(specialist))
    .. '},"delivery_mode":1,"delivery_tag":"' .. (#id < 500 and id or redis.sha1hex(id)) .. ':' .. moment .. '"}}'
end

-- `trace`: JSON headers of the feature's trace, or nil. The id of a message ends in `random`, which nobody
-- can guess, and in another one where it is sent again.
local function publish_task(task, state, specialist, trace)
  local message = message_of(task, state.attempt, state.batch, specialist, trace, random, string.format('%.0f', now))
  -- A key that is no queue is left alone, and the message is sent again later as one that was lost: an error
  -- here would come after the script has written.
  redis.pcall((state.ahead or state.sent) and 'RPUSH' or 'LPUSH', shared('celery:' .. queue_of(specialist)), message)
end
