-- Sends lost messages of launches again. What waits for an agent has none: it is offered again where its offer is gone.
--
-- keys: slots last_started

local function is_lost(task, state, specialist, patience, queued)
  local launched_at = -redis.call('ZSCORE', slots_key, task)
  if tonumber(redis.call('HGET', last_started_key, specialist) or 0) > launched_at then return true end
  local is_silent = now - launched_at > patience * 2 ^ math.min(state.sent or 0, 4)
  return is_silent and not (queue_names and queued[queue_of(specialist)])
end

-- Answers with [[task, attempt, specialist], …] of what the caller is to publish.
local function send_again(patience, queued, trace)
  local unpublished, ranks, launches = {}, {}, {}
  for _, task in ipairs(redis.call('ZRANGEBYSCORE', slots_key, '(' .. patience - now, '0')) do
    ranks[task], launches[#launches + 1] = (plan_of(task)), task
  end
  -- The last launched first: what is sent again goes ahead of its queue, so the one sent last is the next to
  -- be taken.
  table.sort(launches, function(one, other)
    local first, second = redis.call('ZSCORE', slots_key, one), redis.call('ZSCORE', slots_key, other)
    if first ~= second then return tonumber(first) < tonumber(second) end
    return ranks[one] > ranks[other]
  end)
  for _, task in ipairs(launches) do
    local state, _, _, specialist = state_of(task), plan_of(task)
    if awaits_an_agent(task, state, specialist) then
      offer(task, state, specialist)
    elseif is_lost(task, state, specialist, patience, queued) then
      state.sent = (state.sent or 0) + 1
      save_state(task, state)
      redis.call('ZADD', slots_key, -now, task)
      record('message_lost', 'task', task, 'attempt', state.attempt)
      if not queue_names or not publish_task(task, state, specialist, trace) then
        unpublished[#unpublished + 1] = { task, state.attempt, specialist }
      end
    end
  end
  return unpublished
end
