-- Read what a feature adds to the figures of metrics. The cost grows with its slots, and not with its tasks.
--
-- keys: slots ready delayed unassigned waiting
-- args:
-- answer: JSON {status, cap, paused, tasks {status: n}, total, running {specialist: n}, launched {specialist: n}, ended:
--   attempts whose lease has ended, ready, delayed, unassigned, limited {limit: tasks that wait for it}}; nil where there
--   is no such feature
local meta = read_meta('status', 'cap', 'total', 'paused', 'limited')
if not meta.status then return nil end
local tasks, running, sent, limited, ended = {}, {}, {}, {}, 0
read_counts(unpack(COUNTED))
for _, status in ipairs(COUNTED) do tasks[status] = count_of(status) end

local slots = redis.call('ZRANGE', slots_key, 0, -1, 'WITHSCORES')
for place = 1, #slots, 2 do
  local _, _, specialist = plan_of(slots[place])
  local score, name = tonumber(slots[place + 1]), specialist or ''
  local list = score > 0 and running or sent
  list[name] = (list[name] or 0) + 1
  if score > 0 and score <= now then ended = ended + 1 end
end

local waiting = meta.limited and redis.call('HGETALL', waiting_key) or {}
for place = 1, #waiting, 2 do
  local limit = string.match(waiting[place + 1], '^%S+')
  limited[limit] = (limited[limit] or 0) + redis.call('ZCARD', waiting_key .. ':' .. waiting[place])
end

return cjson.encode({
  status = meta.status,
  cap = tonumber(meta.cap) or 0,
  paused = meta.paused == '1',
  tasks = tasks,
  total = tonumber(meta.total) or 0,
  running = running,
  ['launched'] = sent,
  ended = ended,
  ready = redis.call('ZCARD', ready_key),
  delayed = redis.call('ZCARD', delayed_key),
  unassigned = redis.call('SCARD', unassigned_key),
  limited = limited,
})
