-- Move the task of a running attempt to its next status. The attempt keeps its slot and its lease.
--
-- keys: slots
-- args: task attempt steps worker
--   steps  for each step a line "event status:target …": where it leads from each status that allows it
-- answer: {code, status}
--   "transitioned"  done
--   "stale"         the attempt has ended, or another worker holds it; nothing was changed
--   "refused"       the status does not allow a step; nothing was changed
local state = state_of(task)
if not state or not redis.call('ZSCORE', slots_key, task) then return {'stale', ''} end
if state.attempt ~= tonumber(attempt) or state.ending then return {'stale', state.status} end

local path, events = apply_transitions(state.status, steps)
if not path then return {'refused', state.status} end

state.status = path[#path]
save_state(task, state)
count_transition(task, state.batch, path[1], state.status)
record_transitions(task, state.attempt, events, path, 'worker', worker)
return {'transitioned', state.status}
