-- Begin an attempt: the worker that asks becomes its holder, with a lease.
--
-- KEYS  1 meta  2 states  3 counts  4 slots  5 tasks  6 events  7 taken  8 limits  9 full  10 plan
-- ARGV  1 task  2 attempt  3 JSON {status: [event, new status]} of what can begin  4 lease in ms  5 worker
--       6 statuses in which a feature is over, comma-separated  7 events kept  8 specialist
--       9 a name for this delivery of the message, so that it may ask twice where the answer was lost
-- Output {code, task JSON (nil: the gates of the feature), feature head JSON, state JSON, feature status, wait in ms}
--       "started"   the caller holds the attempt, and begins after the wait: what was launched at a rate may have stood in
--                   a queue since, and starts at that rate too
--       "over"      the feature is over, and this attempt was not begun
--       "stale"     a later attempt exists, or this one has ended
--       "misplaced" another specialist is to do it: its message was sent on to the caller by somebody else
--       "held"      this attempt was started before: a duplicate delivery
--       "missing"   no such feature or task
local meta = redis.call('HMGET', KEYS[1], 'status', 'head')
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if not meta[1] or not stored then return {'missing'} end

local state = cjson.decode(stored)
local held = redis.call('ZSCORE', KEYS[4], ARGV[1])
local begins = cjson.decode(ARGV[3])[state.status]
local is_over = string.find(',' .. ARGV[6] .. ',', ',' .. meta[1] .. ',', 1, true)
if state.attempt ~= tonumber(ARGV[2]) or state.ending then return {'stale'} end
if not held then return {is_over and begins and 'over' or 'stale'} end
if string.match(redis.call('HGET', KEYS[10], ARGV[1]) or '', '^%d+:%d+:(.*)$') ~= ARGV[8] then return {'misplaced'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function grant()
  local wait = math.max(0, (state.begins or now) - now)
  return {'started', redis.call('HGET', KEYS[5], ARGV[1]), meta[2], cjson.encode(state), meta[1], wait}
end
if tonumber(held) > 0 then return ARGV[9] ~= '' and state.delivery == ARGV[9] and grant() or {'held'} end
if not begins then return {'stale'} end

local function begins_at_its_rate()
  local rate = redis.call('HGET', KEYS[8], 'rate:' .. ARGV[8])
  if not rate then return nil end
  local interval, burst = string.match(rate, '^(%S+) (%d+)$')
  local full = take_token({ KEYS[9] }, { 'start:' .. ARGV[8], interval, time[1] * 1000 + time[2] / 1000 })
  return math.ceil(full - burst * interval)
end

local from, event, in_turn = state.status, begins[1], not state.sent and not state.ahead
state.begins, state.ahead = begins_at_its_rate(), nil
state.status, state.started, state.worker, state.finished = begins[2], now, ARGV[5], nil
state.percent, state.note, state.noted, state.told, state.delivery = nil, nil, nil, nil, ARGV[9]
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(state))
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[4]), ARGV[1])
-- Not of one that was sent again: its first message may have stood in the queue all the while, and overtaken nobody. Nor of
-- one that was sent ahead of all that waits.
if in_turn then redis.call('HSET', KEYS[7], ARGV[8], -held) end
redis.call('HSETNX', KEYS[1], 'started', now)
recount({ KEYS[3] }, { ARGV[1], state.batch, from, -1 })
recount({ KEYS[3] }, { ARGV[1], state.batch, state.status, 1 })
tell({ KEYS[6] }, { ARGV[7], 'event', event, 'task', ARGV[1], 'from', from,
  'to', state.status, 'attempt', state.attempt, 'worker', ARGV[5], 'specialist', ARGV[8] })
return grant()
