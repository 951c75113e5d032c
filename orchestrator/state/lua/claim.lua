-- Begin an attempt for an agent that asks for work, and take it out of those that are offered. What cannot be begun is
-- taken out too; only what is paused stays.
--
-- keys: offered
-- args: task attempt lease_ms worker specialist delivery
--   delivery  the secret end of the claim, by which the agent is known again
-- answer: as of start.lua, or one code more
--   "paused"  the feature is paused, so nothing of it starts
if open_meta().paused == '1' and not is_held(task) then return {'paused'} end
local answer = start_attempt(task, attempt, lease_ms, worker, specialist, delivery, true)
redis.call('ZREM', offered_key, offer_of(task, attempt))
return answer
