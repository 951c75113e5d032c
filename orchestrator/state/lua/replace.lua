-- Put tasks in the place of one whose attempt has just ended (finish.lua): it waits for them, and then gives
-- their value. They are in its batch, in front of it, and wait for each other by count, whatever the strategy is.
--
-- keys: meta tasks batches waits dependents delayed
-- args: task replacement
--   replacement  JSON {order [task, …], tasks {task: its JSON}, the task itself included, specialists {new task: its
--                specialist}, waits {task: for how many}, dependents {new task: JSON [task, …]}, schema (that it
--                needs at least), event [event, field, value, …]}
-- answer: how many tasks there are in its place; 0 where the commit was made before, or the feature is over
local meta = read_meta('status', 'schema', 'total')
if not commit.is_new or OVER[meta.status] then return 0 end
replacement = cjson.decode(replacement)
local rank, batch = plan_of(task)
local added = #replacement.order

local function stand_in_batch()
  local described = cjson.decode(redis.call('HGET', batches_key, batch))
  local members = {}
  for _, member in ipairs(described.tasks) do
    if member == task then
      for _, name in ipairs(replacement.order) do members[#members + 1] = name end
    end
    members[#members + 1] = member
  end
  described.tasks = members
  redis.call('HSET', batches_key, batch, cjson.encode(described))
  adjust_count(batch .. ':total', added)
end

stand_in_batch()
for name, text in pairs(replacement.tasks) do redis.call('HSET', tasks_key, name, text) end
for name, count in pairs(replacement.waits) do redis.call('HSET', waits_key, name, count) end
for name, text in pairs(replacement.dependents) do redis.call('HSET', dependents_key, name, text) end
for _, name in ipairs(replacement.order) do
  set_plan(name, rank, batch, replacement.specialists[name])
  if not replacement.waits[name] then make_ready(name) end
end
-- finish has put it there. Where it waits for nothing, schedule launches it.
if replacement.waits[task] then redis.call('ZREM', delayed_key, task) end
redis.call('HSET', meta_key, 'total', meta.total + added, 'joins', '1')
if replacement.schema > (tonumber(meta.schema) or 1) then redis.call('HSET', meta_key, 'schema', replacement.schema) end
redis.call('HINCRBY', meta_key, 'grown', 1)
close_meta()
record(unpack(replacement.event))
return added
