-- End an attempt: commit its outcome, free its slot, count the task where it stands now. One that a person took away
-- frees its slot, and no more: what became of it does not count.
--
-- KEYS  1 states  2 counts  3 slots  4 delayed  5 outcomes  6 events  7 plan  8 resolved  9 freed  10 durations
-- ARGV  1 task  2 attempt  3 JSON [[event, {status: new status}], …]  4 outcome JSON
--       5 wait before the next attempt in ms ("": no next attempt)  6 the count of which this uses up one, "retried" or "later" ("": none)
--       7 statuses that resolve a task, comma-separated  8 cause  9 specialist that gets the task next ("": the same)
--       10 worker  11 events kept  12 the delivery that began it, as in start.lua ("": whichever did)
--       13 durations kept of the task, of which this is one (0: it is none), and 14 for how long, in ms (see learn.lua)
--       15 note of the events ("": none)
-- Output {code, status, batch, its tasks, resolved, blocked, failed of them}; code and status alone where nothing was
--       changed
--       "finished"  committed
--       "ended"     a person took the attempt away before; it frees what it held, and its task stays where it stands
--       "repeated"  this attempt was committed before; nothing was changed
--       "stale"     a later attempt exists, or somebody else ended this one; nothing was changed
--       "refused"   the attempt was not started, or the status does not allow a step; nothing was changed
--       "missing"   no such feature or task
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return {'missing', ''} end

local state = cjson.decode(stored)
if state.attempt ~= tonumber(ARGV[2]) then return {'stale', state.status} end
if state.ended == state.attempt then return {'repeated', state.status} end
local held = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not held then return {'stale', state.status} end
if tonumber(held) <= 0 then return {'refused', state.status} end
if ARGV[12] ~= '' and state.delivery ~= ARGV[12] then return {'stale', state.status} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if state.ending then
  retire({ KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[8], KEYS[9], KEYS[6] }, { ARGV[1], state, now, '', ARGV[10], ARGV[11] })
  return {'ended', state.status}
end

local steps = cjson.decode(ARGV[3])
local path = walk({}, { state.status, steps })
if not path then return {'refused', state.status} end

local is_resolved = string.find(',' .. ARGV[7] .. ',', ',' .. path[#path] .. ',', 1, true)
local dataflow = state.dataflow
state.status, state.finished, state.ended, state.note, state.percent = path[#path], now, state.attempt, nil, nil
state.dataflow, state.delivery = nil, nil
if state.holds then redis.call('RPUSH', KEYS[9], cjson.encode({ ARGV[1], state.holds })) end
state.holds = nil
if tonumber(ARGV[13]) > 0 then
  local specialist = string.match(redis.call('HGET', KEYS[7], ARGV[1]), '^%d+:%d+:(.*)$')
  local took = math.max(0, now - math.max(state.started, state.begins or 0))
  learn({ KEYS[10] }, { specialist .. ' ' .. ARGV[1], string.format('%d', took), ARGV[13], ARGV[14] })
end
if ARGV[6] ~= '' then state[ARGV[6]] = (state[ARGV[6]] or 0) + 1 end
if is_resolved then state.resolved = true end
if ARGV[9] ~= '' then
  state.escalated = true
  local placed = string.match(redis.call('HGET', KEYS[7], ARGV[1]), '^(%d+:%d+:)')
  redis.call('HSET', KEYS[7], ARGV[1], placed .. ARGV[9])
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(state))
redis.call('HSET', KEYS[5], ARGV[1], ARGV[4])
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[5] ~= '' then redis.call('ZADD', KEYS[4], now + tonumber(ARGV[5]), ARGV[1]) end
recount({ KEYS[2] }, { ARGV[1], state.batch, path[1], -1 })
recount({ KEYS[2] }, { ARGV[1], state.batch, state.status, 1 })
if is_resolved then
  recount({ KEYS[2] }, { ARGV[1], state.batch, 'resolved', 1 })
  if dataflow then redis.call('RPUSH', KEYS[8], '+' .. ARGV[1]) end
end
local more = { 'worker', ARGV[10] }
if ARGV[8] ~= '' then more = { 'cause', ARGV[8], unpack(more) } end
if ARGV[5] ~= '' then more = { 'wait', ARGV[5], unpack(more) } end
if ARGV[15] ~= '' then more = { 'note', ARGV[15], unpack(more) } end
if ARGV[9] ~= '' then more = { 'specialist', ARGV[9], unpack(more) } end
for place, step in ipairs(steps) do
  tell({ KEYS[6] }, { ARGV[11], 'event', step[1], 'task', ARGV[1], 'from', path[place],
    'to', path[place + 1], 'attempt', state.attempt, unpack(more) })
end

local of = state.batch .. ':'
local tally = redis.call('HMGET', KEYS[2], of .. 'total', of .. 'resolved', of .. 'blocked', of .. 'failed')
for place = 1, 4 do tally[place] = tonumber(tally[place] or 0) end
return {'finished', state.status, state.batch, unpack(tally)}
