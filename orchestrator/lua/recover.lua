-- Take back what a lost worker held, and find what was never published.
--
-- KEYS  1 meta  2 states  3 counts  4 slots  5 ready  6 outbox  7 outcomes  8 events  9 active  10 routes
-- ARGV  1 feature id  2 attempts that may be lost before the task fails  3 patience with the outbox in ms
--       4 event of a loss  5 status after it  6 event of the last loss  7 status after it  8 outcome JSON of it
--       9 events kept
-- Output JSON: lost [[task, attempt, status], …], unpublished [[task, attempt, specialist], …]; or nil where
--       there is no such feature
local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  redis.call('SREM', KEYS[9], ARGV[1])
  return nil
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost, unpublished = {}, {}

local function recount(state, name, by)
  redis.call('HINCRBY', KEYS[3], name, by)
  redis.call('HINCRBY', KEYS[3], state.batch .. ':' .. name, by)
end

for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '(0', now)) do
  local state = cjson.decode(redis.call('HGET', KEYS[2], task))
  local from, event = state.status, ARGV[4]
  state.lost, state.status, state.finished, state.note = state.lost + 1, ARGV[5], now, nil
  if state.lost > tonumber(ARGV[2]) then
    event, state.status = ARGV[6], ARGV[7]
    redis.call('HSET', KEYS[7], task, ARGV[8])
    recount(state, state.status, 1)
  elseif status ~= 'cancelled' then
    redis.call('ZADD', KEYS[5], state.rank, task)
  end
  recount(state, from, -1)
  redis.call('HSET', KEYS[2], task, cjson.encode(state))
  redis.call('ZREM', KEYS[4], task)
  redis.call('XADD', KEYS[8], 'MAXLEN', '~', ARGV[9], '*', 'event', event, 'task', task, 'from', from,
    'to', state.status, 'attempt', state.attempt, 'cause', 'worker-lost', 'worker', state.worker)
  lost[#lost + 1] = { task, state.attempt, state.status }
end

local outbox = redis.call('HGETALL', KEYS[6])
for place = 1, #outbox, 2 do
  local attempt, since = string.match(outbox[place + 1], '(%d+):(%d+)')
  if now - since > tonumber(ARGV[3]) then
    unpublished[#unpublished + 1] = { outbox[place], tonumber(attempt), redis.call('HGET', KEYS[10], outbox[place]) }
  end
end

if status == 'cancelled' and redis.call('ZCARD', KEYS[4]) == 0 then redis.call('SREM', KEYS[9], ARGV[1]) end
return cjson.encode({ lost = lost, unpublished = unpublished })
