-- Gives a sandbox a further token.
--
-- KEYS: 2 the owners of further tokens
-- ARGV: 4 the digest of the token, 5 how many there may be
-- Reply: 1, or 3 where there are too many
if not is_current() then
  return {0}
end
if redis.call('SISMEMBER', sandbox .. ':tokens', ARGV[4]) == 1 then
  return {1}  -- a repetition, whose first attempt has arrived
end
if redis.call('SCARD', sandbox .. ':tokens') >= tonumber(ARGV[5]) then
  return {3}
end
redis.call('SADD', sandbox .. ':tokens', ARGV[4])
redis.call('HSET', KEYS[2], ARGV[4], sandbox)
return {1}
