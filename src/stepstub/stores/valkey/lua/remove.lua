-- Takes a sandbox out of the directory.
--
-- KEYS: 2 the directory: all sandboxes in their order, 3 by their ids, 4 by their names,
--       5 the owners of further tokens, 6 when each was used last, 7 the sandboxes whose calls
--       somebody may have to take over, 8 the detached epochs
-- ARGV: 4 its id, 5 its name or '', 6 the server's time in ms since which it was not used, or ''
-- Reply: 1, its epoch; or 0 where it is gone already, or has been used
--
-- The epoch is remembered for a while: a repetition whose first attempt has arrived is told it too.
local last = redis.call('HGET', sandbox, 'epoch')
if ARGV[6] ~= '' then
  local used = tonumber(redis.call('ZSCORE', KEYS[6], sandbox))
  if used and used > tonumber(ARGV[6]) then
    return {0}
  end
end
redis.call('ZREM', KEYS[6], sandbox)
local removed = sandbox .. ':removed'
if not last then
  last = redis.call('GET', removed)
  return {last and 1 or 0, last}
end
redis.call('SET', removed, last, 'PX', 10000)
redis.call('ZADD', KEYS[8], whole(server_time()), sandbox .. ' ' .. last)
for _, token in ipairs(redis.call('SMEMBERS', sandbox .. ':tokens')) do
  redis.call('HDEL', KEYS[5], token)
end
redis.call('DEL', sandbox, sandbox .. ':tokens')
redis.call('ZREM', KEYS[2], sandbox)
redis.call('ZREM', KEYS[7], sandbox)
redis.call('HDEL', KEYS[3], ARGV[4])
if redis.call('HGET', KEYS[4], ARGV[5]) == sandbox then
  redis.call('HDEL', KEYS[4], ARGV[5])
end
redis.call('PUBLISH', sandbox, '')
return {1, last}
