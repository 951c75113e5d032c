-- Read how far a feature is, from its counters. The cost does not depend on its size.
--
-- keys: meta batches waiting slots ready delayed unassigned
-- args:
-- answer: JSON {meta {field: text}, counts {status: n}, batch_counts {status: n}, resolved, batch {expected,
--   after, due, cap, total, resolved}, in_flight, launched, queued, delayed, unassigned, limited {limit:
--   tasks that wait for it}, gates ("@testing" or "@validating" where the gates of the feature stopped), now
--   (ms)}; nil where there is no such feature
local fields = redis.call('HGETALL', meta_key)
if #fields == 0 then return nil end
local meta, counts, batch_counts = {}, {}, {}
for place = 1, #fields, 2 do meta[fields[place]] = fields[place + 1] end
meta.head, meta.table, meta.transitions = nil, nil, nil

local asked = { 'resolved', meta.batch .. ':total', meta.batch .. ':resolved' }
for _, status in ipairs(COUNTED) do
  asked[#asked + 1] = status
  asked[#asked + 1] = meta.batch .. ':' .. status
end
read_counts(unpack(asked))
for _, status in ipairs(COUNTED) do
  counts[status] = count_of(status)
  batch_counts[status] = count_of(meta.batch .. ':' .. status)
end

local batch = { total = count_of(meta.batch .. ':total'), resolved = count_of(meta.batch .. ':resolved') }
local described = redis.call('HGET', batches_key, meta.batch)
if described then
  local decoded = cjson.decode(described)
  batch.expected, batch.after, batch.due, batch.cap = decoded.expected, decoded.after, decoded.due, decoded.cap
end

local limited, waiting = {}, meta.limited and redis.call('HGETALL', waiting_key) or {}
for place = 1, #waiting, 2 do
  local limit = string.match(waiting[place + 1], '^%S+')
  limited[limit] = (limited[limit] or 0) + redis.call('ZCARD', waiting_key .. ':' .. waiting[place])
end

return cjson.encode({
  meta = meta,
  counts = counts,
  batch_counts = batch_counts,
  resolved = count_of('resolved'),
  batch = batch,
  in_flight = redis.call('ZCARD', slots_key),
  ['launched'] = redis.call('ZCOUNT', slots_key, '-inf', 0),
  queued = redis.call('ZCARD', ready_key),
  delayed = redis.call('ZCARD', delayed_key),
  unassigned = redis.call('SCARD', unassigned_key),
  limited = limited,
  gates = stopped_gates(),
  ['now'] = now,
})
