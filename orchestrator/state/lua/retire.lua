-- The part of the scripts that end an attempt which a person took from its worker before (see move.lua). Its task stays
-- where the person put it. Only now the slot and all else that the attempt held is free, a skip counts as resolved, and
-- a task that was resumed meanwhile is taken up again.
--
-- KEYS  1 states  2 counts  3 slots  4 delayed  5 resolved  6 freed  7 events
-- ARGV  1 task  2 its state  3 now in ms  4 cause  5 worker  6 events kept
-- Output nothing
local task, state, now, cause, worker, kept = unpack(ARGV)
state.ending, state.finished, state.ended, state.delivery = nil, now, state.attempt, nil
if state.holds then redis.call('RPUSH', KEYS[6], cjson.encode({ task, state.holds })) end
state.holds = nil
redis.call('ZREM', KEYS[3], task)
if state.resolves then
  state.resolved, state.resolves = true, nil
  recount({ KEYS[2] }, { task, state.batch, 'resolved', 1 })
  if state.dataflow then redis.call('RPUSH', KEYS[5], '+' .. task) end
end
-- The cascade launches the gates of the feature by itself, when their stage has come.
local is_gates = task == '@testing' or task == '@validating'
if state.status == 'pending' and not is_gates then redis.call('ZADD', KEYS[4], now, task) end
redis.call('HSET', KEYS[1], task, cjson.encode(state))
tell({ KEYS[7] }, { kept, 'event', 'attempt_ended', 'task', task, 'attempt', state.attempt, 'cause', cause, 'worker', worker })
