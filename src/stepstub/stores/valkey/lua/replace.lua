-- Has a sandbox go on in an epoch that has been filled; its further tokens are gone.
--
-- KEYS: 2 the owners of further tokens, 3 the headers that bear tokens, 4 the detached epochs
-- ARGV: 4 its description, 5 the header that bears its token or ''
-- Reply: 1, the epoch before; or 0 where there is no such sandbox any more
--        2 where the epoch has been let go, for it took too long to fill it
local before = redis.call('HGET', sandbox, 'epoch')
if not before then
  return {0}
end
if before == epoch then  -- a repetition, whose first attempt has arrived
  return {1, redis.call('HGET', sandbox, 'before')}
end
if redis.call('ZREM', KEYS[4], sandbox .. ' ' .. epoch) == 0 then
  return {2}
end
redis.call('ZADD', KEYS[4], whole(server_time()), sandbox .. ' ' .. before)
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
