-- Renew the lease of an attempt.
--
-- keys: slots meta
-- args: task attempt lease_ms delivery
--   delivery  the delivery that started the attempt, as in start.lua ("": any)
-- answer: a code; at all but the first, the holder should stop
--   "renewed"    done
--   "cancelled"  done, but the feature is over, or a person has revoked the attempt; it keeps its lease until it has ended
--   "lost"       the caller does not hold the attempt any more
local state = state_of(task)
if not state or not is_held(task) then return 'lost' end
if state.attempt ~= tonumber(attempt) then return 'lost' end
if delivery ~= '' and state.delivery ~= delivery then return 'lost' end
redis.call('ZADD', slots_key, now + tonumber(lease_ms), task)
if state.ending or OVER[redis.call('HGET', meta_key, 'status')] then return 'cancelled' end
return 'renewed'
