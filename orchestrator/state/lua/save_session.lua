-- Keep the conversation of an agent, so that a later attempt can go on with it.
--
-- keys: agents
-- args: task attempt delivery session
--   delivery  the one that began the attempt
--   session   JSON (see AgentSession)
-- answer: a code
--   "kept"   done
--   "stale"  the attempt does not run (any more); nothing was changed
local state = state_of(task)
if not state or state.attempt ~= tonumber(attempt) or not is_held(task) or state.ending then return 'stale' end
if delivery ~= '' and state.delivery ~= delivery then return 'stale' end
redis.call('HSET', agents_key, 'session ' .. task, session)
return 'kept'
