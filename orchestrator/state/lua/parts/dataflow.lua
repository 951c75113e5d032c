-- In dataflow a task is ready when all that it depends on is resolved: `waits` counts what it still waits
-- for.
--
-- keys: waits slots delayed ready unassigned dependency_updates dependents

-- Update the dependents of tasks that were resolved since the last run ("+task"), or are not resolved any more ("-task").
local function update_dependents()
  local released = {}

  local function take_released_turns()
    take_turns(released)
    released = {}
  end

  local function release(task)
    if redis.call('HINCRBY', waits_key, task, -1) > 0 then return end
    redis.call('HDEL', waits_key, task)
    local has_begun = redis.call('ZSCORE', slots_key, task) or rare_keys > 0 and redis.call('ZSCORE', delayed_key, task)
    if not has_begun then released[#released + 1] = task end
  end

  local function hold_up(task)
    take_released_turns()
    redis.call('HINCRBY', waits_key, task, 1)
    redis.call('ZREM', ready_key, task)
    redis.call('SREM', unassigned_key, task)
    if limits then limits.queue.remove(task) end
  end

  local function update(entry)
    local sign, task = string.match(entry, '^([+-])(.*)$')
    local dependents = redis.call('HGET', dependents_key, task)
    for _, dependent in ipairs(dependents and cjson.decode(dependents) or {}) do
      if sign == '+' then release(dependent) else hold_up(dependent) end
    end
  end

  if rare_keys > 0 then
    for _, entry in ipairs(redis.call('LRANGE', dependency_updates_key, 0, -1)) do update(entry) end
    redis.call('DEL', dependency_updates_key)
  end
  for _, entry in ipairs(dependency_updates) do update(entry) end
  dependency_updates = {}
  take_released_turns()
end
