-- What is kept of the attempts of agents at a task.
--
-- keys: agents

local function forget_session(task)
  redis.call('HDEL', agents_key, 'session ' .. task)
end
