-- Counts a request with a token.
--
-- ARGV: 4 the digest of the token, 5 what tells this operation from others, 6 whether it is a
--       repetition
-- Reply: 1, then 0 if it is good, 1 if it has expired, 2 if it has been revoked
if not is_current() then
  return {0}
end
local limit = redis.call('HGET', key('limits'), ARGV[4])
if not limit then
  return {1, 0}
end
local until_time, requests = string.match(limit, '^(%d*),(%d*)$')
if until_time ~= '' and time() >= tonumber(until_time) then
  return {1, 1}
end
if requests == '' or remembered(ARGV[5], ARGV[6]) then
  return {1, 0}
end
if requests == '0' then
  return {1, 2}
end
redis.call('HSET', key('limits'), ARGV[4], until_time .. ',' .. whole(tonumber(requests) - 1))
remember(ARGV[5])
return {1, 0}
