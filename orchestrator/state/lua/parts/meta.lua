-- The fields of a feature's meta that its scripts ask for most, read once in a call.
--
-- keys: meta

local opened_meta = nil

local is_refused = false -- true where the feature was to be enqueued, and is not

-- A script that changes one of the fields changes it here too, or closes the meta.
local function open_meta()
  if opened_meta then return opened_meta end
  local found = redis.call('HMGET', meta_key, 'schema', 'status', 'strategy', 'cap', 'total', 'batch', 'batches', 'released',
    'auto_launch', 'stops', 'paused', 'started', 'limited', 'resourced', 'trace', 'head', 'transitions', 'joins')
  opened_meta = {
    schema = found[1] or nil, status = found[2] or nil, strategy = found[3] or nil, cap = found[4] or nil,
    total = found[5] or nil, batch = found[6] or nil, batches = found[7] or nil, released = found[8] or nil,
    auto_launch = found[9] or nil, stops = found[10] or nil, paused = found[11] or nil, started = found[12] or nil,
    limited = found[13] or nil, resourced = found[14] or nil, trace = found[15] or nil, head = found[16] or nil,
    transitions = found[17] or nil,
    -- Tasks wait for others by count: all do in dataflow, elsewhere those that replaced a task (see replace.lua).
    joins = found[3] == 'dataflow' or found[18] == '1',
  }
  return opened_meta
end

local function close_meta()
  opened_meta = nil
end
