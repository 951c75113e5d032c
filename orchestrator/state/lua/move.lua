-- Move a task because a person asked for it. An attempt that runs is taken away from its worker: the task stands
-- elsewhere at once, and the attempt is ending. It keeps its slot, its lease and all that it holds until it has ended, or
-- its lease has (retire.lua). What was launched, and no worker has begun, has nothing to end.
--
-- KEYS  1 meta  2 states  3 counts  4 ready  5 slots  6 delayed  7 plan  8 unassigned  9 events
--       10 waits  11 resolved (both: dataflow only)  12 waiting  13 freed
-- ARGV  1 task  2 JSON [[event, {status: new status}], …]  3 note
--       4 statuses in which a feature is over, comma-separated  5 statuses from which a worker takes the task up
--       6 "resolve": the task counts as resolved after this; "if-completed": where it is completed; "never"
--       7 "1" where a running attempt may be taken away  8 "1" where the retries begin anew  9 events kept
-- Output {code, status, status before}
--       "moved"     done, or it is so already; the cascade launches what follows from it
--       "refused"   the status does not allow a step; nothing was changed
--       "running"   an attempt runs and may not be taken away, or is ending and is to have ended before this; nothing
--                   was changed
--       "over"      the feature is over; nothing was changed
--       "missing"   no such feature or task
local feature = redis.call('HMGET', KEYS[1], 'status', 'batch', 'strategy')
local plan = redis.call('HGET', KEYS[7], ARGV[1])
if not feature[1] or not plan then return {'missing', '', ''} end
if string.find(',' .. ARGV[4] .. ',', ',' .. feature[1] .. ',', 1, true) then return {'over', feature[1], ''} end

local rank, batch, specialist = string.match(plan, '^(%d+):(%d+):(.*)$')
batch = tonumber(batch)
local stored = redis.call('HGET', KEYS[2], ARGV[1])
local state = stored and cjson.decode(stored)
  or { status = 'pending', attempt = 0, retried = 0, lost = 0, batch = batch }
local is_gates = ARGV[1] == '@testing' or ARGV[1] == '@validating'
local dataflow = feature[3] == 'dataflow' and not is_gates
local held = redis.call('ZSCORE', KEYS[5], ARGV[1])
local steps = cjson.decode(ARGV[2])
local path = walk({}, { state.status, steps })
if not path then return {'refused', state.status, state.status} end
if held and ARGV[7] ~= '1' and (not state.ending or ARGV[6] == 'if-completed') then
  return {'running', state.status, state.status}
end
if ARGV[6] == 'resolve' and state.resolved and path[#path] == state.status then return {'moved', state.status, state.status} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was_resolved = state.resolved == true
state.status = path[#path]
state.resolved = ARGV[6] == 'resolve' or (ARGV[6] == 'if-completed' and state.status == 'completed') or nil
if held and tonumber(held) > 0 then
  state.ending, state.note, state.percent = true, nil, nil
  state.resolves, state.resolved = state.resolved, nil
elseif held then
  redis.call('ZREM', KEYS[5], ARGV[1])
  if state.holds then redis.call('RPUSH', KEYS[13], cjson.encode({ ARGV[1], state.holds })) end
  state.holds = nil
end
if ARGV[3] ~= '' then
  state.remarks = state.remarks or {}
  state.remarks[#state.remarks + 1] = ARGV[3]
end
if ARGV[8] == '1' then state.retried, state.lost, state.later, state.handed = 0, 0, nil, nil end
if not state.ending and (state.status == 'completed' or state.status == 'cancelled') then state.finished = now end
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(state))
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
for _, class in ipairs(redis.call('HKEYS', KEYS[12])) do redis.call('ZREM', KEYS[12] .. ':' .. class, ARGV[1]) end
redis.call('SREM', KEYS[8], ARGV[1])
local is_open = batch <= tonumber(feature[2]) or is_gates
if dataflow then is_open = tonumber(feature[2]) > 0 and redis.call('HEXISTS', KEYS[10], ARGV[1]) == 0 end
if is_open and not state.ending and string.find(',' .. ARGV[5] .. ',', ',' .. state.status .. ',', 1, true) then
  if specialist == '' then redis.call('SADD', KEYS[8], ARGV[1]) else redis.call('ZADD', KEYS[4], rank, ARGV[1]) end
end
recount({ KEYS[3] }, { ARGV[1], state.batch, path[1], -1 })
recount({ KEYS[3] }, { ARGV[1], state.batch, state.status, 1 })
if state.resolved and not was_resolved then
  recount({ KEYS[3] }, { ARGV[1], state.batch, 'resolved', 1 })
  if dataflow then redis.call('RPUSH', KEYS[11], '+' .. ARGV[1]) end
end
if was_resolved and not state.resolved then
  recount({ KEYS[3] }, { ARGV[1], state.batch, 'resolved', -1 })
  if dataflow then redis.call('RPUSH', KEYS[11], '-' .. ARGV[1]) end
end
for place, step in ipairs(steps) do
  tell({ KEYS[9] }, { ARGV[9], 'event', step[1], 'task', ARGV[1], 'from', path[place],
    'to', path[place + 1], 'attempt', state.attempt, 'note', ARGV[3] })
end
return {'moved', state.status, path[1]}
