-- Take back what a lost worker held (a task that must not run twice is blocked: a person is asked), find
-- launches whose message was lost, and notice a batch that is overdue. Where nobody has looked for more than
-- half a lease, Redis was away, or all who look: then a worker that holds an attempt could not renew its
-- lease either, and nothing is taken back before all have had the time to do it. A message is taken for lost
-- when a later one of its specialist was started, or when its queue is empty (or cannot be seen) and it is
-- not started: after the patience, then after twice as long, up to 16 times.
--
-- keys: active outcomes slots swept
-- args: feature losses patience_ms failed asking overdue overdue_least_ms lease_ms regain_ms queued
--   losses      how many attempts may be lost before the task fails
--   failed      JSON outcome of the last loss
--   asking      JSON outcome of the loss of a task that must not run twice
--   overdue     a batch is overdue after this many times its expected duration, and at least overdue_least_ms more
--   regain_ms   the time that workers have to renew their leases
--   queued      JSON {queue: true}: the queues that had messages when the sweep began, before it sent any
-- answer: JSON {lost [[task, attempt, status], …], unpublished [[task, attempt, specialist], …]},
--   unpublished: for the caller to publish again, where the broker is another one; nil where there is no such
--   feature
local meta = read_meta('status', 'batch', 'batch_started', 'overdue', 'paused', 'ran', 'watched', 'cap', 'trace')
if not meta.status then
  redis.call('SREM', active_key, feature)
  return nil
end
local is_over, lost = OVER[meta.status], {}
lease_ms = tonumber(lease_ms)

local function lose(task)
  local state = state_of(task)
  if state.ending then return end_revoked_attempt(task, state, 'worker-lost', state.worker) end
  local from, event, outcome = state.status, 'worker_lost', nil
  state.lost, state.finished, state.note, state.ahead = (state.lost or 0) + 1, now, nil, true
  release_holds(task, state)
  if not is_over and not may_run_twice(task) then
    event, outcome = 'blocker_detected', asking
  elseif state.lost > tonumber(losses) then
    event, outcome = 'work_failed', failed
  end
  state.status = LOSSES[event][from] or from
  if outcome then
    redis.call('HSET', outcomes_key, task, outcome)
  elseif not is_over then
    make_ready_first(task)
  end
  count_transition(task, state.batch, from, state.status)
  save_state(task, state)
  redis.call('ZREM', slots_key, task)
  record(event, 'task', task, 'from', from, 'to', state.status, 'attempt', state.attempt,
    'cause', 'worker-lost', 'worker', state.worker)
  lost[#lost + 1] = { task, state.attempt, state.status }
end

local function may_take_back()
  local looked, patient = unpack(redis.call('HMGET', swept_key, 'looked', 'patient'))
  if looked and now - looked > lease_ms / 2 then
    patient = now + regain_ms
    redis.call('HSET', swept_key, 'patient', patient)
  end
  redis.call('HSET', swept_key, 'looked', now)
  return now >= tonumber(patient or 0)
end

if may_take_back() then
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', slots_key, '(0', now)) do lose(task) end
end
local unpublished = send_again(tonumber(patience_ms), cjson.decode(queued), meta.trace)
if is_over then
  if redis.call('ZCARD', slots_key) == 0 then redis.pcall('SREM', active_key, feature) end
else
  notice_overdue_batch(meta, lease_ms, tonumber(overdue), tonumber(overdue_least_ms))
end
return cjson.encode({ lost = lost, unpublished = unpublished })
