-- Lets a world go: that of this epoch, which nobody enters any more.
--
-- KEYS: 2 the sandboxes whose calls somebody may have to take over, 3 the detached epochs
-- Reply: 1, how many steps it had
if not is_current() then
  return {0}
end
redis.call('ZREM', KEYS[3], sandbox .. ' ' .. epoch)
local steps = redis.call('HLEN', key('steps'))
if ARGV[2] ~= '*' then
  redis.call('HDEL', sandbox, 'epoch')
  redis.call('ZREM', KEYS[2], sandbox)
elseif redis.call('HGET', sandbox, 'epoch') == epoch then  -- it has been entered meanwhile
  return {0}
end
redis.call('UNLINK', key('state'), key('steps'), key('next'), key('processes'), key('order'))
redis.call('UNLINK', key('journal'), key('about'), key('journal-steps'), key('writes'))
redis.call('UNLINK', key('calls'), key('calls-of'), key('callers'))
redis.call('UNLINK', key('owed'), key('attempts'), key('late'), key('leases'))
redis.call('UNLINK', key('faults'), key('limits'), key('ids'))
return {1, steps}
