-- Change a feature's status or options at a person's request.
--
-- keys: meta ready delayed unassigned
-- args: event moves changes note person
--   moves    "1": the event changes the status by the feature's flow; else it is only recorded
--   changes  JSON {field of meta: value}
-- answer: {code, status}
--   "updated"    done; schedule launches the tasks that may start now
--   "unchanged"  the feature has these options already; nothing was changed
--   "refused"    the status does not allow it; nothing was changed
--   "missing"    no such feature
local meta = open_meta()
local status = meta.status
if not status then return {'missing', ''} end
local target = status
if moves == '1' then target = target_of(meta, event) end
if not target or OVER[status] then return {'refused', status} end

changes = cjson.decode(changes)
local function is_so_already()
  for field, value in pairs(changes) do
    if (redis.call('HGET', meta_key, field) or '0') ~= tostring(value) then return false end
  end
  return next(changes) ~= nil
end
if is_so_already() then return {'unchanged', status} end

for field, value in pairs(changes) do redis.call('HSET', meta_key, field, value) end
set_status(target)
if OVER[target] then redis.call('DEL', ready_key, delayed_key, unassigned_key) end
close_meta()
record(event, 'from', status, 'to', target, 'note', note, 'by', person)
return {'updated', target}
