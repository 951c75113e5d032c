-- Publish the message of a launched task, where Celery's broker is this Redis: no crash can come between a
-- launch and its message. A message is written as kombu's Redis transport writes it (Celery message protocol
-- 2); all of a batch share a group id. Workers take from the right of a queue.

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

-- `trace`: JSON headers of the feature's trace, or nil. The id of a message ends in `random`, which nobody
-- can guess, and in another one where it is sent again.
local function publish_task(task, state, specialist, trace)
  local queue = queue_of(specialist)
  local messages = shared('celery:' .. queue)
  -- A key that is no queue is left alone, and the message is sent again later as one that was lost: an error
  -- here would come after the script has written.
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
