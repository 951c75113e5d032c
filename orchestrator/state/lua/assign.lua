-- Give a task that has not started another specialist.
--
-- KEYS  1 plan  2 unassigned  3 ready  4 slots  5 events  6 waiting
-- ARGV  1 task  2 specialist  3 note  4 events kept
-- Output {code}
--       "assigned"  done, or it is so already; the cascade launches it if its turn has come
--       "running"   it is published or runs; nothing was changed
--       "missing"   no such feature or task
local plan = redis.call('HGET', KEYS[1], ARGV[1])
if not plan then return {'missing'} end
if redis.call('ZSCORE', KEYS[4], ARGV[1]) then return {'running'} end
local rank, batch, before = string.match(plan, '^(%d+):(%d+):(.*)$')
if before == ARGV[2] then return {'assigned'} end
redis.call('HSET', KEYS[1], ARGV[1], rank .. ':' .. batch .. ':' .. ARGV[2])
local is_ready = redis.call('SREM', KEYS[2], ARGV[1]) == 1
for _, class in ipairs(redis.call('HKEYS', KEYS[6])) do
  is_ready = redis.call('ZREM', KEYS[6] .. ':' .. class, ARGV[1]) == 1 or is_ready
end
if is_ready then redis.call('ZADD', KEYS[3], rank, ARGV[1]) end
tell({ KEYS[5] }, { ARGV[4], 'event', 'specialist_assigned', 'task', ARGV[1], 'cause', ARGV[2], 'note', ARGV[3] })
return {'assigned'}
