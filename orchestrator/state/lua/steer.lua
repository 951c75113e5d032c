-- Change what a feature may do next, or its status, because a person asked for it.
--
-- KEYS  1 meta  2 events  3 active  4 ready  5 delayed  6 unassigned  7 slots  8 finished
-- ARGV  1 feature id  2 event  3 JSON {status: new status} ("": the status stays)
--       4 JSON of meta fields to set  5 note  6 statuses in which a feature is over, comma-separated  7 events kept
-- Output {code, status}
--       "steered"   done; the cascade does what follows from it
--       "unchanged" what it asks for is so already; nothing was changed
--       "refused"   the status does not allow it; nothing was changed
--       "missing"   no such feature
local function is_over(status)
  return string.find(',' .. ARGV[6] .. ',', ',' .. status .. ',', 1, true) ~= nil
end

local status = redis.call('HGET', KEYS[1], 'status')
if not status then return {'missing', ''} end
local target = status
if ARGV[3] ~= '' then target = cjson.decode(ARGV[3])[status] end
if not target or is_over(status) then return {'refused', status} end

local changes = cjson.decode(ARGV[4])
local function is_so_already()
  for field, value in pairs(changes) do
    if (redis.call('HGET', KEYS[1], field) or '0') ~= tostring(value) then return false end
  end
  return next(changes) ~= nil
end
if is_so_already() then return {'unchanged', status} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'status', target)
for field, value in pairs(changes) do redis.call('HSET', KEYS[1], field, value) end
if is_over(target) then
  redis.call('HSET', KEYS[1], 'finished', now)
  redis.call('ZADD', KEYS[8], now, ARGV[1])
  redis.call('DEL', KEYS[4], KEYS[5], KEYS[6])
  if redis.call('ZCARD', KEYS[7]) == 0 then redis.call('SREM', KEYS[3], ARGV[1]) end
end
tell({ KEYS[2] }, { ARGV[7], 'event', ARGV[2], 'from', status, 'to', target, 'note', ARGV[5] })
return {'steered', target}
