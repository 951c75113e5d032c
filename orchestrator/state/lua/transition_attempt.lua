-- Move the task of a running attempt to its next status. The attempt keeps its slot and its lease.
--
-- keys: slots
-- args: task attempt steps worker
--   steps  JSON [[event, {status: new status}], …]
-- answer: {code, status}
--   "transitioned"  done
--   "stale"         the attempt has ended, or another worker holds it; nothing was changed
--   "refused"       the status does not allow a step; nothing was changed
local state = state_of(task)
if not state or not redis.call('ZSCORE', slots_key, task) then return {'stale', ''} end
if state.attempt ~= tonumber(attempt) or state.ending then return {'stale', state.status} end

steps = cjson.decode(steps)
local path = apply_transitions(state.status, steps)
if not path then return {'refused', state.status} end

state.status = path[#path]
save_state(task, state)
count_transition(task, state.batch, path[1], state.status)
record_transitions(task, state.attempt, steps, path, 'worker', worker)
return {'transitioned', state.status}
