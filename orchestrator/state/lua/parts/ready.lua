-- The tasks that are ready to be launched. A task is ready at its rank, in launch order; one that a worker lost or
-- handed back is ready before all others (see make_ready_first).
--
-- keys: ready unassigned states plan

local is_any_ready = true -- false where it is known that there is none

local fresh = {} -- {task: its state, or 'new'} of the tasks whose turn has come in this run

local function await_specialist(task)
  if redis.call('SADD', unassigned_key, task) == 1 then record('specialist_awaited', 'task', task) end
end

local function make_ready(task)
  local rank, _, specialist = plan_of(task)
  if specialist == '' then return await_specialist(task) end
  redis.call('ZADD', ready_key, rank, task)
  is_any_ready = true
end

local function has_ready()
  is_any_ready = is_any_ready and redis.call('ZCARD', ready_key) > 0
  return is_any_ready
end

-- Tasks whose turn has come. One has a state already if a person held, deferred, cancelled, skipped or moved it
-- on before its turn.
local function take_turns(tasks)
  for first = 1, #tasks, MOST / 2 do
    local last = math.min(first + MOST / 2 - 1, #tasks)
    local stored = redis.call('HMGET', states_key, unpack(tasks, first, last))
    local planned = redis.call('HMGET', plan_key, unpack(tasks, first, last))
    local ready = {}
    for place = first, last do
      local task = tasks[place]
      plans[task] = read_plan(planned[place - first + 1])
      local state = states[task]
      if state == nil then
        state = stored[place - first + 1] and cjson.decode(stored[place - first + 1])
        states[task] = state
      end
      if not state or TAKEN_UP[state.status] then
        fresh[task] = state or 'new'
        local rank, _, specialist = plan_of(task)
        if specialist == '' then
          await_specialist(task)
        else
          ready[#ready + 1], ready[#ready + 2] = rank, task
        end
      end
    end
    if ready[1] then
      redis.call('ZADD', ready_key, unpack(ready))
      is_any_ready = true
    end
  end
end
