-- How a message is known again that a launch has published (see publish.lua).

-- Longer ones are left to Celery: what a process reports of one has to fit into its pipe (see reports.py).
local LONGEST_MESSAGE = 1500

-- The feature, the task and the attempt that a message asks for; nil where it does not begin as one of ours.
local function attempt_of(text)
  if #text > LONGEST_MESSAGE then return nil end
  local id, task, attempt =
    string.match(text, '^{"body":"%[%[\\"([%w_.+@/~\128-\255-]+)\\",\\"([^"\\]+)\\",(%d+)%],{},{}%]",')
  return id, task, tonumber(attempt)
end

-- Whether a text is what a launch of this feature would have published, and no more.
local function is_message_of(text, task, attempt, batch, specialist, trace)
  local token, published_at = string.match(string.sub(text, -40), ':(%x%x%x%x%x%x%x%x%x%x%x%x):(%d+)"}}$')
  return token and text == message_of(task, attempt, batch, specialist, trace, token, published_at)
end
