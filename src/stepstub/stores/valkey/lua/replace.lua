-- Has a sandbox go on in an epoch that has been filled; its further tokens are gone.
--
-- KEYS: 2 the owners of further tokens, 3 the headers that bear tokens
-- ARGV: 4 its description, 5 the header that bears its token or ''
-- Reply: 1, the epoch before; or 0 where there is no such sandbox any more
local before = redis.call('HGET', sandbox, 'epoch')
if not before then
  return {0}
end
if before == epoch then  -- a repetition, whose first attempt has arrived
  return {1, redis.call('HGET', sandbox, 'before')}
end
for _, token in ipairs(redis.call('SMEMBERS', sandbox .. ':tokens')) do
  redis.call('HDEL', KEYS[2], token)
end
redis.call('DEL', sandbox .. ':tokens')
redis.call('HDEL', sandbox, 'limited')
redis.call('HSET', sandbox, 'epoch', epoch, 'before', before, 'description', ARGV[4])
redis.call('HINCRBY', sandbox, 'version', 1)
if ARGV[5] ~= '' then
  redis.call('SADD', KEYS[3], ARGV[5])
end
redis.call('PUBLISH', sandbox, '')
return {1, before}
