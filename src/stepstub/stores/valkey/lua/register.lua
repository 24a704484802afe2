-- Enters a new sandbox into the directory, under an epoch that has been filled.
--
-- KEYS: 2 the directory: all sandboxes in their order, 3 by their ids, 4 by their names,
--       5 the headers that bear tokens, 6 when each was used last, 7 what keys are hashed with,
--       8 the detached epochs
-- ARGV: 4 its description, 5 its id, 6 its name or '', 7 the header that bears its token or '',
--       8 how many there may be or '', 9 what its key was hashed with
-- Reply: 1, or 2 where it is there already, or 3 where there are too many
--        4 where it would have another key, 5 where the id is that of another sandbox
--        6 where the epoch has been let go, for it took too long to fill it
redis.call('SET', KEYS[7], ARGV[9], 'NX')
if redis.call('GET', KEYS[7]) ~= ARGV[9] then
  return {4}
end
local registered = redis.call('HGET', sandbox, 'epoch')
if registered == epoch then  -- a repetition, whose first attempt has arrived
  return {1}
end
if registered then
  return {2}
end
if ARGV[8] ~= '' and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[8]) then
  return {3}
end
local owner = redis.call('HGET', KEYS[3], ARGV[5])
if owner and owner ~= sandbox then
  return {5}
end
if redis.call('ZREM', KEYS[8], sandbox .. ' ' .. epoch) == 0 then
  return {6}
end
redis.call('HSET', sandbox, 'epoch', epoch, 'version', 1, 'description', ARGV[4])
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
redis.call('ZADD', KEYS[2], (tonumber(last[2]) or 0) + 1, sandbox)
redis.call('HSET', KEYS[3], ARGV[5], sandbox)
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[4], ARGV[6], sandbox)
end
if ARGV[7] ~= '' then
  redis.call('SADD', KEYS[5], ARGV[7])
end
redis.call('ZADD', KEYS[6], whole(server_time()), sandbox)
return {1}
