-- Keep what a running attempt reports of its progress. There is no event where it reports nothing new; of an
-- attempt that reports much there are 20 at first, and fewer as it grows older (some 700 in a day), so that
-- they do not push out others.
--
-- keys:
-- args: task attempt percent note
--   percent  "": unknown
-- answer: a code
--   "reported"  done
--   "stale"     the attempt does not run (any more); nothing was changed
local state = state_of(task)
if not state or state.attempt ~= tonumber(attempt) or not is_held(task) or state.ending then return 'stale' end

local is_new = state.percent ~= tonumber(percent) or (state.note or '') ~= note
local told, most = state.told or 0, 20 + 100 * math.log(1 + (now - state.started) / 100000)
local is_told = is_new and told < most
if is_told then state.told = told + 1 end
state.noted, state.percent, state.note = now, tonumber(percent), note
save_state(task, state)
if is_told then record('progress', 'task', task, 'attempt', attempt, 'percent', percent, 'note', note) end
return 'reported'
