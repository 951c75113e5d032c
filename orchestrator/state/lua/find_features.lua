-- Find features by the index of their statuses and tags, newest first. It looks at a part of them; the answer
-- says where the next part begins.
--
-- keys:
-- args: prefix status tag text after limit most
--   status  only features in it ("": in any)
--   tag     only features with it ("": with any)
--   text    only features with it in their id or title, in small letters ("": all)
--   after   "created:feature", where the part before ended ("": from the newest)
--   limit   the most features of the answer
--   most    the most features to look at
-- answer: {[feature, …], "created:feature" of the last one it has looked at ("": there is no other)}
local CHUNK = 500
local base = shared('features')
if status ~= '' then base = shared('by-status:' .. status) elseif tag ~= '' then base = shared('by-tag:' .. tag) end
local from, last = string.match(after, '^(%d+):(.*)$')
local found, looked, offset = {}, 0, 0
limit, most = tonumber(limit), tonumber(most)

local function is_asked_for(id)
  if status ~= '' and tag ~= '' and not redis.call('ZSCORE', shared('by-tag:' .. tag), id) then return false end
  if text == '' then return true end
  local title = redis.pcall('HGET', key_of(id, 'meta'), 'title')
  if type(title) ~= 'string' then title = '' end
  return string.find(string.lower(id .. '\n' .. title), text, 1, true) ~= nil
end

while true do
  local entries = redis.call('ZREVRANGEBYSCORE', base, from or '+inf', '-inf', 'WITHSCORES', 'LIMIT', offset, CHUNK)
  if #entries == 0 then return { found, '' } end
  for place = 1, #entries, 2 do
    local id, created = entries[place], entries[place + 1]
    -- Features of the same moment as the last one stand before it until it has passed.
    if last and created ~= from then last = nil end
    if last then
      if id == last then last = nil end
    else
      looked = looked + 1
      if is_asked_for(id) then found[#found + 1] = id end
      if #found == limit or looked == most then return { found, created .. ':' .. id } end
    end
  end
  offset = offset + CHUNK
end
