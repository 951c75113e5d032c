-- Functions for the scripts that start, end and recover attempts.
--
-- keys: ready tasks waiting durations

-- Shared by the scripts of one call: `is_new` after a commit that was not made before.
local commit = {}

-- Put a task before all others of its feature, and of its priority where it waits for a limit: it had its
-- turn before, and its worker was lost or ended. Ranks are positive.
local function make_ready_first(task)
  redis.call('ZADD', ready_key, (plan_of(task)) - 1e9, task)
  is_any_ready = true
end

-- Take a task out of the classes that wait for limits. Answers whether it was in one.
local function stop_waiting(task)
  local has_waited = false
  for _, class in ipairs(redis.call('HKEYS', waiting_key)) do
    has_waited = redis.call('ZREM', waiting_key .. ':' .. class, task) == 1 or has_waited
  end
  return has_waited
end

-- A task that must not run twice is blocked when its worker is lost: a person decides whether its work was done.
local function may_run_twice(task)
  local described = redis.call('HGET', tasks_key, task)
  return not described or cjson.decode(described).idempotent ~= false
end

-- Take a token of a rate by the rule GCRA (ATM Forum, "Traffic Management 4.0", 4.4.2). Redis keeps its
-- theoretical arrival time, in ms: the moment at which all tokens are there again. Answers with the new one.
local function take_rate_token(name, interval)
  local stored = redis.call('HGET', shared('arrival-times'), name)
  local arrival = math.max(exact, tonumber(stored or 0)) + interval
  redis.call('HSET', shared('arrival-times'), name, string.format('%.3f', arrival))
  return arrival
end

-- Keep how long a task took: how often it was completed, and its last durations, newest first (see
-- sketch.py). They are kept for so long after the first task of a batch has completed.
local function read_durations(name)
  return redis.call('HGET', durations_key, name) or '0 '
end

local function record_duration(name, earlier, milliseconds, kept, forget_after, is_first)
  local place = string.find(earlier, ' ', 1, true)
  local count, last = tonumber(string.sub(earlier, 1, place)), string.sub(earlier, place + 1)
  if count >= tonumber(kept) then last = string.match(last, '^(.*),') end
  redis.call('HSET', durations_key, name, string.format('%d %d', count + 1, milliseconds) .. (count > 0 and ',' .. last or ''))
  if is_first or count == 0 then redis.call('PEXPIRE', durations_key, forget_after) end
end
