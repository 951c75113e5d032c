-- What is ready to be launched. A task is ready at its rank, in launch order; one that a worker lost or
-- handed back is ready before all others (see make_ready_first).
--
-- keys: ready unassigned

local plans = {} -- {task: its plan} of the tasks read so far
local fresh = {} -- {task: its state, or 'new'} of the tasks whose turn has come in this run

local function placed(task)
  plans[task] = plans[task] or { plan_of(task) }
  return unpack(plans[task])
end

local function make_ready(task)
  local rank, _, specialist = placed(task)
  if specialist ~= '' then
    redis.call('ZADD', ready_key, rank, task)
  elseif redis.call('SADD', unassigned_key, task) == 1 then
    record('specialist_awaited', 'task', task)
  end
end

-- A task has a state already if a person held, deferred, cancelled, skipped or moved it on before its turn.
local function take_turn(task)
  local state = state_of(task)
  if not state or TAKEN_UP[state.status] then
    fresh[task] = state or 'new'
    make_ready(task)
  end
end
