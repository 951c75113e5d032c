-- Take a running attempt back from a worker that ends: its task is launched again at once, ahead of its
-- queue, and no loss is counted. A task that must not run twice is blocked: a person is asked. One that was
-- requeued too often fails.
--
-- keys: meta outcomes slots
-- args: task attempt worker delivery most failed asking
--   worker    the worker that started the attempt
--   delivery  the delivery that started it, as in start.lua ("": any of this worker)
--   most      how often a task may be requeued
--   failed    JSON outcome if it was requeued more often
--   asking    JSON outcome of a task that must not run twice
-- answer: {code, status}
--   "requeued"  done; schedule launches it
--   "ended"     a person revoked the attempt before: it frees what it held, and its task stays where it
--               stands
--   "stale"     the attempt is not held (any more), or not by this worker; nothing was changed
local state = state_of(task)
if not state or not is_held(task) then return {'stale', ''} end
if state.attempt ~= tonumber(attempt) or state.worker ~= worker then return {'stale', state.status} end
if delivery ~= '' and state.delivery ~= delivery then return {'stale', state.status} end
if state.ending then
  end_revoked_attempt(task, state, 'worker-ends', worker)
  return {'ended', state.status}
end

local from, event, outcome = state.status, 'work_handed_back', nil
state.handed = (state.handed or 0) + 1
if OVER[redis.call('HGET', meta_key, 'status')] then
  -- The feature is over, so the task does not run again.
elseif not may_run_twice(task) then
  event, outcome = 'blocker_detected', asking
elseif state.handed > tonumber(most) then
  event, outcome = 'work_failed', failed
else
  make_ready_first(task)
end
if outcome then redis.call('HSET', outcomes_key, task, outcome) end
state.status = LOSSES[event][from] or from
state.finished, state.note, state.percent, state.ahead = now, nil, nil, true
release_holds(task, state)
save_state(task, state)
redis.call('ZREM', slots_key, task)
count_transition(task, state.batch, from, state.status)
record(event, 'task', task, 'from', from, 'to', state.status, 'attempt', state.attempt,
  'cause', 'worker-ends', 'worker', worker)
return {'requeued', state.status}
