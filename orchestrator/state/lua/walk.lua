-- The part of the scripts that move a task: where its steps lead.
--
-- KEYS  none
-- ARGV  1 its status  2 steps [[event, {status: new status}], …]
-- Output the statuses on the way, its own first; nil where a status does not allow a step
local status, path = ARGV[1], { ARGV[1] }
for _, step in ipairs(ARGV[2]) do
  status = step[2][status]
  if not status then return nil end
  path[#path + 1] = status
end
return path
