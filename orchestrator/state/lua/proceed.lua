-- Move a running attempt on to its next status; it keeps its slot and its lease.
--
-- KEYS  1 states  2 counts  3 slots  4 events
-- ARGV  1 task  2 attempt  3 JSON [[event, {status: new status}], …]  4 worker  5 events kept
-- Output {code, status}
--       "proceeded"  done
--       "stale"      the attempt has ended, or is not the caller's any more; nothing was changed
--       "refused"    the status does not allow a step; nothing was changed
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored or not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return {'stale', ''} end
local state = cjson.decode(stored)
if state.attempt ~= tonumber(ARGV[2]) or state.ending then return {'stale', state.status} end

local steps = cjson.decode(ARGV[3])
local path = walk({}, { state.status, steps })
if not path then return {'refused', state.status} end

state.status = path[#path]
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(state))
recount({ KEYS[2] }, { ARGV[1], state.batch, path[1], -1 })
recount({ KEYS[2] }, { ARGV[1], state.batch, state.status, 1 })
for place, step in ipairs(steps) do
  tell({ KEYS[4] }, { ARGV[5], 'event', step[1], 'task', ARGV[1], 'from', path[place],
    'to', path[place + 1], 'attempt', state.attempt, 'worker', ARGV[4] })
end
return {'proceeded', state.status}
