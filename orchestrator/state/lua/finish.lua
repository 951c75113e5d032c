-- End an attempt: commit its outcome, free its slot, count the task where it stands now. An attempt that a
-- person revoked frees its slot, and no more: its outcome does not count.
--
-- keys: slots delayed outcomes plan counts
-- args: task attempt steps outcome wait uses cause route worker delivery kept kept_ms note
--   steps     JSON [[event, {status: new status}], …]
--   outcome   JSON
--   wait      ms before the next attempt ("": no next attempt)
--   uses      the counter of attempts to increase, "retried" or "later" ("": none)
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
local state = state_of(task)
if not state then return {'missing', ''} end
if state.attempt ~= tonumber(attempt) then return {'stale', state.status} end
if state.ended == state.attempt then return {'repeated', state.status} end
local held = redis.call('ZSCORE', slots_key, task)
if not held then return {'stale', state.status} end
if tonumber(held) <= 0 then return {'refused', state.status} end
if delivery ~= '' and state.delivery ~= delivery then return {'stale', state.status} end
if state.ending then
  end_revoked_attempt(task, state, '', worker)
  return {'ended', state.status}
end

steps = cjson.decode(steps)
local path = apply_transitions(state.status, steps)
if not path then return {'refused', state.status} end

local is_dataflow, batch = state.dataflow, state.batch
state.status, state.finished, state.ended, state.note, state.percent = path[#path], now, state.attempt, nil, nil
state.dataflow, state.delivery = nil, nil
release_holds(task, state)
if tonumber(kept) > 0 then
  local _, _, specialist = plan_of(task)
  local took = math.max(0, now - math.max(state.started, state.begins or 0))
  record_duration(specialist .. ' ' .. task, took, kept, kept_ms)
end
if uses ~= '' then state[uses] = (state[uses] or 0) + 1 end
if RESOLVED[state.status] then state.resolved = true end
if route ~= '' then
  state.escalated = true
  local rank, of = plan_of(task)
  redis.call('HSET', plan_key, task, rank .. ':' .. of .. ':' .. route)
end
save_state(task, state)
redis.call('HSET', outcomes_key, task, outcome)
redis.call('ZREM', slots_key, task)
if wait ~= '' then redis.call('ZADD', delayed_key, now + tonumber(wait), task) end
count_transition(task, batch, path[1], state.status)
if RESOLVED[state.status] then count_resolved(task, batch, 1, is_dataflow) end
local more = { 'worker', worker }
if cause ~= '' then more = { 'cause', cause, unpack(more) } end
if wait ~= '' then more = { 'wait', wait, unpack(more) } end
if note ~= '' then more = { 'note', note, unpack(more) } end
if route ~= '' then more = { 'specialist', route, unpack(more) } end
record_transitions(task, state.attempt, steps, path, unpack(more))

commit.is_new = true
local of = batch .. ':'
local tally = redis.call('HMGET', counts_key, of .. 'total', of .. 'resolved', of .. 'blocked', of .. 'failed')
for place = 1, 4 do tally[place] = tonumber(tally[place] or 0) end
return {'finished', state.status, batch, unpack(tally)}
