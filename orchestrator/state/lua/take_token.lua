-- The part of the scripts that know rates: take a token of one, by the rule GCRA (ATM Forum, "Traffic Management 4.0", 4.4.2).
-- What is stored of a rate is the moment at which all its tokens are there again.
--
-- KEYS  1 full
-- ARGV  1 name of the rate  2 ms between two tokens  3 now in ms, with fractions
-- Output that moment, in ms
local full = math.max(ARGV[3], tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)) + ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.3f', full))
return full
