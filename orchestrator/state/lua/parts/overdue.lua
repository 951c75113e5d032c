-- Notice a batch that is overdue against its estimates, under the cap. Only time counts in which it could go
-- on: not while it is paused, while persons hold up all that is left of it, while its tasks wait for limits,
-- or while nobody looked.
--
-- keys: meta counts batches slots ready delayed waiting

local function may_go_on(meta)
  if meta.paused == '1' or redis.call('HLEN', waiting_key) > 0 then return false end
  local is_busy = redis.call('ZCARD', slots_key) + redis.call('ZCARD', ready_key) + redis.call('ZCARD', delayed_key) > 0
  if not is_busy then return false end
  local fields = { meta.batch .. ':total', meta.batch .. ':resolved' }
  for _, status in ipairs(AWAIT_A_PERSON) do fields[#fields + 1] = meta.batch .. ':' .. status end
  local counts = redis.call('HMGET', counts_key, unpack(fields))
  local open = tonumber(counts[1] or 0)
  for place = 2, #counts do open = open - tonumber(counts[place] or 0) end
  return open > 0
end

local function count_time(meta, lease)
  local since = math.max(tonumber(meta.watched or 0), tonumber(meta.batch_started))
  local ran = tonumber(meta.ran or 0)
  -- A gap longer than a lease is an outage of Redis, or of all workers.
  if may_go_on(meta) then ran = ran + math.min(now - since, lease) end
  redis.call('HSET', meta_key, 'ran', ran, 'watched', now)
  return ran
end

-- A batch is overdue after `factor` times its expected duration, and at least `least` ms more.
local function notice_overdue_batch(meta, lease, factor, least)
  local described = meta.batch_started and redis.call('HGET', batches_key, meta.batch)
  local batch = described and cjson.decode(described)
  if not batch or not batch.due then return end
  local ran = count_time(meta, lease)
  -- A cap lower than planned makes it longer, at most by this factor.
  local expected = batch.due * 1000 * math.max(1, batch.cap / tonumber(meta.cap))
  -- Recorded again each time that half as much time more has passed.
  local late = math.max(expected * factor, expected + least)
  if ran < late * 1.5 ^ tonumber(meta.overdue or 0) then return end
  redis.call('HINCRBY', meta_key, 'overdue', 1)
  record('batch_overdue', 'batch', meta.batch, 'ran', ran, 'expected', math.floor(expected))
end
