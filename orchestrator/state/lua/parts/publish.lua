-- Publishes the message of a launched task if Celery's broker is this Redis, so no crash can come between a launch and its
-- message. It has the form of kombu's Redis transport (Celery message protocol 2). The messages of a batch share a group
-- id. Workers take messages from the right end of a queue.

-- {specialist: its queue}, for queues that have another name than their specialist; false if the broker is another one.
local queue_names = queues ~= '' and cjson.decode(queues)

local function queue_of(specialist)
  return queue_names[specialist] or specialist
end

-- As identifiers.encode does; the gates of a feature keep their name.
local function encode_id(id)
  if is_gates(id) then return id end
  return (string.gsub(id, '[^A-Za-z0-9_.-]', function(sign) return string.format('~%02X', string.byte(sign)) end))
end

-- `trace`: JSON headers of the feature's trace, or nil. The id of a message ends in `random`, which nobody can guess; a
-- message that is sent again has another one.
local function publish_task(task, state, specialist, trace)
  local queue = queue_of(specialist)
  local messages = shared('celery:' .. queue)
  -- If the key is not a queue, do nothing: the sweep sends the message later, as a lost one. An error here would be too
  -- late, because the script has written already.
  local found = redis.call('TYPE', messages).ok
  if found ~= 'none' and found ~= 'list' then return end
  local id = string.format('%s:%s:%d:%s', encode_id(feature), encode_id(task), state.attempt, random)
  local headers = trace and cjson.decode(trace) or {}
  headers.lang, headers.task, headers.id = 'py', specialist, id
  headers.group = string.format('%s:%d', encode_id(feature), state.batch)
  headers.argsrepr = string.format("('%s', '%s', %d)", feature, task, state.attempt)
  redis.call((state.ahead or state.sent) and 'RPUSH' or 'LPUSH', messages, cjson.encode({
    body = '[' .. cjson.encode({ feature, task, state.attempt }) .. ',{},{}]',
    ['content-type'] = 'application/json',
    ['content-encoding'] = 'utf-8',
    headers = headers,
    properties = {
      delivery_mode = 1,
      delivery_tag = (#id < 500 and id or redis.sha1hex(id)) .. ':' .. now,
      delivery_info = { exchange = '', routing_key = queue },
    },
  }))
end
