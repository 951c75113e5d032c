-- Give another specialist to a task that has not started.
--
-- keys: slots unassigned ready
-- args: task specialist note person
-- answer: {code}
--   "assigned"  done, or it had this specialist already; schedule launches the task if its turn has come
--   "running"   its message is published, or it runs; nothing was changed
--   "missing"   no such feature or task
local rank, batch, before = plan_of(task)
if not rank then return {'missing'} end
if redis.call('ZSCORE', slots_key, task) then return {'running'} end
if before == specialist then return {'assigned'} end
set_plan(task, rank, batch, specialist)
local state = state_of(task)
if state and (state.rung or state.tries) then
  state.rung, state.tries = nil, nil
  save_state(task, state)
end
forget_session(task)
local is_ready = redis.call('SREM', unassigned_key, task) == 1
is_ready = stop_waiting(task) or is_ready
if is_ready then redis.call('ZADD', ready_key, rank, task) end
record('specialist_assigned', 'task', task, 'cause', specialist, 'note', note, 'by', person)
return {'assigned'}
