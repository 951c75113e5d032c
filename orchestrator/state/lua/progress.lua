-- Read a feature's progress from its counters: the same cost whatever its size.
--
-- KEYS  1 meta  2 counts  3 batches  4 ready  5 slots  6 delayed  7 unassigned  8 states  9 waiting
-- ARGV  1 the statuses to count, comma-separated
-- Output JSON: meta {field: text}, counts {status: n}, batch_counts {status: n}, resolved, batch {expected, after,
--       due, cap, total, resolved}, in_flight, launched, queued, delayed, unassigned, limited {limit: tasks that wait for it}, gates
--       ("@testing" or "@validating" where the gates of the feature failed), now (ms); or nil where there is no such feature
local fields = redis.call('HGETALL', KEYS[1])
if #fields == 0 then return nil end
local meta, counts, batch_counts = {}, {}, {}
for place = 1, #fields, 2 do meta[fields[place]] = fields[place + 1] end
meta.head, meta.table = nil, nil

local function count(field)
  return tonumber(redis.call('HGET', KEYS[2], field) or 0)
end
for status in string.gmatch(ARGV[1], '[^,]+') do
  counts[status] = count(status)
  batch_counts[status] = count(meta.batch .. ':' .. status)
end

local batch = { total = count(meta.batch .. ':total'), resolved = count(meta.batch .. ':resolved') }
local described = redis.call('HGET', KEYS[3], meta.batch)
if described then
  local decoded = cjson.decode(described)
  batch.expected, batch.after, batch.due, batch.cap = decoded.expected, decoded.after, decoded.due, decoded.cap
end
local gates
for _, name in ipairs({ '@testing', '@validating' }) do
  local stored = redis.call('HGET', KEYS[8], name)
  local stands = stored and cjson.decode(stored).status
  if stands == 'failed' or stands == 'blocked' then gates = name end
end

local limited, waiting = {}, meta.limited and redis.call('HGETALL', KEYS[9]) or {}
for place = 1, #waiting, 2 do
  local limit = string.match(waiting[place + 1], '^%S+')
  limited[limit] = (limited[limit] or 0) + redis.call('ZCARD', KEYS[9] .. ':' .. waiting[place])
end

local time = redis.call('TIME')
return cjson.encode({
  meta = meta,
  counts = counts,
  batch_counts = batch_counts,
  resolved = count('resolved'),
  batch = batch,
  in_flight = redis.call('ZCARD', KEYS[5]),
  launched = redis.call('ZCOUNT', KEYS[5], '-inf', 0),
  queued = redis.call('ZCARD', KEYS[4]),
  delayed = redis.call('ZCARD', KEYS[6]),
  unassigned = redis.call('SCARD', KEYS[7]),
  limited = limited,
  gates = gates,
  now = time[1] * 1000 + math.floor(time[2] / 1000),
})
