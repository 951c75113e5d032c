-- How a worker begins an attempt.
--
-- keys: meta slots tasks last_started limits

-- Begin an attempt, with the answer of start.lua. Where it `may_wait` not, one whose specialist has a rate is not begun:
-- {'rated'}.
local function start_attempt(task, attempt, lease_ms, worker, specialist, delivery, may_wait)
  local meta, state = open_meta(), state_of(task)
  if not meta.status or not state then return {'missing'} end
  if state.attempt ~= tonumber(attempt) or state.ending then return {'stale'} end
  local held, event, status = redis.call('ZSCORE', slots_key, task), string.match(BEGINNINGS[state.status] or '', '^(%S+) (%S+)$')
  if not held then return {OVER[meta.status] and event and 'over' or 'stale'} end
  local _, _, planned = plan_of(task)
  if planned ~= specialist then return {'misplaced'} end
  local rate = rare_keys > 0 and redis.call('HGET', limits_key, 'rate:' .. specialist)
  if rate and not may_wait then return {'rated'} end

  local function started(text)
    local wait = math.max(0, (state.begins or now) - now)
    return {'started', redis.call('HGET', tasks_key, task), meta.head, text, meta.status, wait}
  end
  if tonumber(held) > 0 then
    return delivery ~= '' and state.delivery == delivery and started(cjson.encode(state)) or {'held'}
  end
  if not event then return {'stale'} end

  local function begins_at_its_rate()
    if not rate then return nil end
    local interval, burst = string.match(rate, '^(%S+) (%d+)$')
    return math.ceil(take_rate_token('start:' .. specialist, interval) - burst * interval)
  end

  -- Agents take what they can do, in any order: that says nothing of messages.
  local from, is_in_turn = state.status, not (state.sent or state.ahead or awaits_an_agent(task, state, specialist))
  state.begins, state.ahead = begins_at_its_rate(), nil
  state.status, state.started, state.worker, state.finished = status, now, worker, nil
  state.percent, state.note, state.noted, state.told, state.delivery = nil, nil, nil, nil, delivery
  local text = cjson.encode(state)
  save_state(task, state, text)
  redis.call('ZADD', slots_key, now + tonumber(lease_ms), task)
  -- Not of one that was sent again: its first message may have stood in the queue all the while, and overtaken nobody. Nor of
  -- one that was sent ahead of all that waits.
  if is_in_turn then redis.pcall('HSET', last_started_key, specialist, -held) end
  if not meta.started then
    meta.started = tostring(now)
    redis.call('HSET', meta_key, 'started', now)
  end
  count_transition(task, state.batch, from, state.status)
  record(event, 'task', task, 'from', from, 'to', state.status, 'attempt', state.attempt, 'worker', worker,
    'specialist', specialist)
  if meta.status == 'planning' then apply_event(meta, 'first_task_started') end
  return started(text)
end
