-- The part of the scripts that publish, where Celery's broker is this Redis: no crash can come between a launch and its
-- message. A message is written as kombu's Redis transport writes it (Celery message protocol 2); all of a batch share a
-- group id. Workers take from the right of a queue. The id of a message ends in what nobody can guess, and in
-- something else where it is sent again.
--
-- KEYS  1 messages of the queue
-- ARGV  1 feature id  2 task  3 its state  4 specialist  5 now in ms  6 queue  7 JSON headers of the feature's trace, or false
--       8 random text, with which its id ends
-- Output nothing. What stands under the queue's name and is no queue is passed over: the message is sent again as one that
--       was lost, until it is mended. An error here would come after what the script has written.
local feature, task, state, specialist, now, queue, trace, random = unpack(ARGV)

-- As identifiers.encode does; the gates of the feature stay as they are called.
local function encoded(id)
  if id == '@testing' or id == '@validating' then return id end
  return (string.gsub(id, '[^A-Za-z0-9_.-]', function(sign) return string.format('~%02X', string.byte(sign)) end))
end

local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'list' then return end
local id = string.format('%s:%s:%d:%s', encoded(feature), encoded(task), state.attempt, random)
local headers = trace and cjson.decode(trace) or {}
headers.lang, headers.task, headers.id = 'py', specialist, id
headers.group = string.format('%s:%d', encoded(feature), state.batch)
headers.argsrepr = string.format("('%s', '%s', %d)", feature, task, state.attempt)
redis.call((state.ahead or state.sent) and 'RPUSH' or 'LPUSH', KEYS[1], cjson.encode({
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
