-- Store the end of a running attempt's output, so that other machines can follow it; or drop it.
--
-- keys: tails
-- args: task attempt tail
--   tail  the text of encoding.describe_tail, which begins with the attempt ("": drop the tail of the attempt)
-- answer: a code
--   "kept"     done
--   "dropped"  done
--   "stale"    the attempt does not run (any more), or the tail is of another one; nothing was changed
if tail == '' then
  local kept = redis.call('HGET', tails_key, task)
  if not kept or string.match(kept, '^%d+') ~= attempt then return 'stale' end
  redis.call('HDEL', tails_key, task)
  return 'dropped'
end
local state = state_of(task)
if not state or not is_held(task) or state.attempt ~= tonumber(attempt) then return 'stale' end
redis.call('HSET', tails_key, task, tail)
return 'kept'
