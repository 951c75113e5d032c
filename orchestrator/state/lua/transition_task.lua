-- Change a task's status at a person's request. A running attempt is revoked: the task has its new status at
-- once, but the attempt keeps its slot, its lease and its units until it, or its lease, has ended (see
-- end_revoked_attempt). A launched task that no worker has started gives them back at once.
--
-- keys: slots ready delayed unassigned waits
-- args: task steps note resolve revoke reset_retries person
--   steps          as in transition_attempt.lua
--   resolve        whether the task then counts as resolved: "resolve" (always), "if-completed" or "never"
--   revoke         "1": a running attempt may be revoked
--   reset_retries  "1": count the retries from zero again
-- answer: {code, status, status before}
--   "transitioned"  done, or it has this status already; schedule launches the tasks that may start now
--   "refused"       the status does not allow a step; nothing was changed
--   "running"       an attempt runs and may not be revoked, or is ending and has to end before this; nothing
--                   was changed
--   "over"          the feature is over; nothing was changed
--   "missing"       no such feature or task
local meta = read_meta('status', 'batch', 'strategy', 'joins')
local rank, batch, specialist = plan_of(task)
if not meta.status or not rank then return {'missing', '', ''} end
if OVER[meta.status] then return {'over', meta.status, ''} end

local state = state_of(task) or new_state(batch)
local is_dataflow = meta.strategy == 'dataflow' and not is_gates(task)
local joins = is_dataflow or meta.joins == '1' and not is_gates(task)
local held = redis.call('ZSCORE', slots_key, task)
local path, events = apply_transitions(state.status, steps)
if not path then return {'refused', state.status, state.status} end
if held and revoke ~= '1' and (not state.ending or resolve == 'if-completed') then
  return {'running', state.status, state.status}
end
if resolve == 'resolve' and state.resolved and path[#path] == state.status then
  return {'transitioned', state.status, state.status}
end

local was_resolved = state.resolved == true
state.status = path[#path]
state.resolved = resolve == 'resolve' or (resolve == 'if-completed' and state.status == 'completed') or nil
if held and tonumber(held) > 0 then
  state.ending, state.note, state.percent = true, nil, nil
  state.resolves, state.resolved = state.resolved, nil
elseif held then
  redis.call('ZREM', slots_key, task)
  release_holds(task, state)
end
if note ~= '' then
  state.remarks = state.remarks or {}
  state.remarks[#state.remarks + 1] = note
end
if reset_retries == '1' then state.retried, state.lost, state.later, state.handed, state.tries = 0, 0, nil, nil, nil end
if not state.ending and (state.status == 'completed' or state.status == 'cancelled') then state.finished = now end
save_state(task, state)

redis.call('ZREM', ready_key, task)
redis.call('ZREM', delayed_key, task)
redis.call('SREM', unassigned_key, task)
stop_waiting(task)
local is_open = is_gates(task) or batch <= tonumber(meta.batch)
if is_dataflow then is_open = tonumber(meta.batch) > 0 end
if joins then is_open = is_open and redis.call('HEXISTS', waits_key, task) == 0 end
if is_open and not state.ending and TAKEN_UP[state.status] then
  if specialist == '' then redis.call('SADD', unassigned_key, task) else redis.call('ZADD', ready_key, rank, task) end
end

count_transition(task, state.batch, path[1], state.status)
if state.resolved and not was_resolved then count_resolved(task, state.batch, 1, joins) end
if was_resolved and not state.resolved then count_resolved(task, state.batch, -1, joins) end
record_transitions(task, state.attempt, events, path, 'note', note, 'by', person)
return {'transitioned', state.status, path[1]}
