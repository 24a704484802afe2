-- Gives a sandbox a further token, with its limit.
--
-- KEYS: 2 the owners of further tokens
-- ARGV: 4 the digest of the token, 5 how many there may be, 6 by what its limit is found, 7 until
--       when it is good or '', 8 for how many requests or ''
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
redis.call('HSET', key('limits'), ARGV[6], ARGV[7] .. ',' .. ARGV[8])
-- Others look the sandbox up again, and learn that its tokens have limits.
redis.call('HSET', sandbox, 'limited', 1)
redis.call('HINCRBY', sandbox, 'version', 1)
return {1}
