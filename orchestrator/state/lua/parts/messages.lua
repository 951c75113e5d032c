-- How a message is read that a launch has published (see publish.lua).
--
-- keys: meta

-- Longer ones are left to Celery: what a process reports of one has to fit into its pipe (see reports.py).
local LONGEST_MESSAGE = 1500

local function has_only(found, names)
  if type(found) ~= 'table' then return false end
  for name in pairs(found) do
    if not names[name] then return false end
  end
  return true
end

local PARTS = { body = true, ['content-type'] = true, ['content-encoding'] = true, headers = true, properties = true }
local PROPERTIES = { delivery_mode = true, delivery_tag = true, delivery_info = true }
local DELIVERY = { exchange = true, routing_key = true }
local HEADERS = { lang = true, task = true, id = true, group = true, argsrepr = true }

-- The message of a text, where it has the form of those that are published to a queue, and no more in it; else nil.
local function read_message(text, queue)
  if #text > LONGEST_MESSAGE then return nil end
  local is_json, message = pcall(cjson.decode, text)
  if not is_json or not has_only(message, PARTS) or not has_only(message.properties, PROPERTIES) then return nil end
  local info, headers = message.properties.delivery_info, message.headers
  local is_ours = message['content-type'] == 'application/json' and message['content-encoding'] == 'utf-8'
    and message.properties.delivery_mode == 1 and type(message.properties.delivery_tag) == 'string'
    and has_only(info, DELIVERY) and info.exchange == '' and info.routing_key == queue
    and type(message.body) == 'string' and type(headers) == 'table' and headers.lang == 'py'
    and type(headers.id) == 'string' and type(headers.group) == 'string' and type(headers.argsrepr) == 'string'
  return is_ours and message or nil
end

-- The feature, the task and the attempt that a message asks for; nil where it asks for anything else.
local function attempt_of(message)
  local is_json, body = pcall(cjson.decode, message.body)
  if not is_json or type(body) ~= 'table' or type(body[1]) ~= 'table' then return nil end
  local id, task, attempt = unpack(body[1])
  if type(id) ~= 'string' or type(task) ~= 'string' or type(attempt) ~= 'number' then return nil end
  if string.find(id, '[^%w_.+@/~\128-\255-]') then return nil end
  if message.body ~= '[' .. cjson.encode({ id, task, attempt }) .. ',{},{}]' then return nil end
  local name = string.format('%s:%s:%d:', encode_id(id), encode_id(task), attempt)
  if string.sub(message.headers.id, 1, #name) ~= name then return nil end
  if not string.match(string.sub(message.headers.id, #name + 1), '^%x%x%x%x%x%x%x%x%x%x%x%x$') then return nil end
  return id, task, attempt
end

-- A message has no other headers than those of its own, and those of its feature's trace.
local function has_known_headers(headers)
  local trace
  for name, value in pairs(headers) do
    if not HEADERS[name] then
      trace = trace or cjson.decode(redis.call('HGET', meta_key, 'trace') or '{}')
      if trace[name] == nil or cjson.encode(trace[name]) ~= cjson.encode(value) then return false end
    end
  end
  return true
end
