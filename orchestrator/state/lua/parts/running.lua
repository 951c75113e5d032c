-- Which attempts run, of any feature. Who holds something counts as long as its attempt runs, so that nothing has to be
-- given back, and nothing is held by what is gone.
--
-- keys:

-- Whether a worker holds an attempt.
local function runs(id, other, number)
  local score = redis.pcall('ZSCORE', key_of(id, 'slots'), other)
  if type(score) ~= 'string' or tonumber(score) <= 0 then return false end
  local stored = redis.pcall('HGET', key_of(id, 'states'), other)
  return type(stored) == 'string' and cjson.decode(stored).attempt == tonumber(number)
end
