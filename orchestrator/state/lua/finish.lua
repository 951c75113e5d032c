-- End an attempt: commit its outcome, free its slot, count the task where it stands now. An attempt that a
-- person revoked frees its slot, and no more: its outcome does not count.
--
-- keys: slots outcomes
-- first: states slots plan counts ready durations
-- args: task attempt steps outcome wait uses cause route worker delivery kept kept_ms note
--   steps     as in transition_attempt.lua
--   outcome   JSON
--   wait      ms before the next attempt ("": no next attempt)
--   uses      the counter of attempts to increase, "retried", "later", "tries" or "rung" ("": none)
--   route     the specialist that gets the task next ("": the same)
--   delivery  the one that began the attempt, as in start.lua ("": any)
--   kept      how many durations of the task are kept, of which this is one (0: it is none), and for how
--             long: kept_ms
-- answer: {code, status, batch, its tasks, resolved, blocked, failed of them}; code and status alone where
--   nothing was committed
--   "finished"  committed
--   "ended"     a person revoked the attempt before; it frees what it held, and its task stays where it
--               stands
--   "repeated"  this attempt was committed before; nothing was changed
--   "stale"     a later attempt exists, or another worker ended this one; nothing was changed
--   "refused"   the attempt was not started, or the status does not allow a step; nothing was changed
--   "missing"   no such feature or task
local state, held = state_of(task), redis.call('ZSCORE', slots_key, task)
local _, _, specialist = plan_of(task)
local batch = state and state.batch or 0
local of = batch .. ':'
read_counts('resolved', 'failed', 'blocked', 'completed', of .. 'total', of .. 'resolved', of .. 'failed', of .. 'blocked',
  of .. 'completed')
has_ready()
local learned = tonumber(kept) > 0 and read_durations(specialist .. ' ' .. task)
if not state then return {'missing', ''} end
if state.attempt ~= tonumber(attempt) then return {'stale', state.status} end
if state.ended == state.attempt then return {'repeated', state.status} end
if not held then return {'stale', state.status} end
if tonumber(held) <= 0 then return {'refused', state.status} end
if delivery ~= '' and state.delivery ~= delivery then return {'stale', state.status} end
if state.ending then
  end_revoked_attempt(task, state, '', worker)
  return {'ended', state.status}
end

local path, events = apply_transitions(state.status, steps)
if not path then return {'refused', state.status} end

local is_dataflow = state.dataflow
state.status, state.finished, state.ended, state.note, state.percent = path[#path], now, state.attempt, nil, nil
state.dataflow, state.delivery = nil, nil
release_holds(task, state)
if learned then
  local took = math.max(0, now - math.max(state.started, state.begins or 0))
  record_duration(specialist .. ' ' .. task, learned, took, kept, kept_ms, count_of(of .. 'resolved') == 0)
end
if uses ~= '' then state[uses] = (state[uses] or 0) + 1 end
if uses == 'rung' then state.tries = nil end
if RESOLVED[state.status] then state.resolved = true end
if route ~= '' then
  state.escalated = true
  local rank, planned = plan_of(task)
  set_plan(task, rank, planned, route)
end
save_state(task, state)
redis.call('HSET', outcomes_key, task, outcome)
redis.call('ZREM', slots_key, task)
if wait ~= '' then delay(task, now + tonumber(wait)) end
count_transition(task, batch, path[1], state.status)
if RESOLVED[state.status] then count_resolved(task, batch, 1, is_dataflow) end
local more = { 'worker', worker }
if cause ~= '' then more = { 'cause', cause, unpack(more) } end
if wait ~= '' then more = { 'wait', wait, unpack(more) } end
if note ~= '' then more = { 'note', note, unpack(more) } end
if route ~= '' then more = { 'specialist', route, unpack(more) } end
record_transitions(task, state.attempt, events, path, unpack(more))

commit.is_new = true
return {'finished', state.status, batch, count_of(of .. 'total'), count_of(of .. 'resolved'), count_of(of .. 'blocked'),
  count_of(of .. 'failed')}
