-- Forgets exchanges and delegate calls; numbers continue, and calls in progress are still owed.
if not is_current() then
  return {0}
end
local last = redis.call('HGET', key('state'), 'exchanges') or 0
redis.call('HSET', key('state'), 'cleared', last)
redis.call('UNLINK', key('journal'), key('about'), key('journal-steps'))
redis.call('UNLINK', key('calls'), key('calls-of'), key('callers'))
changed()
return {1}
