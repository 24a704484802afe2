-- The faults as they are kept, and their version.
if not is_current() then
  return {0}
end
local found = redis.call('HMGET', key('faults'), 'version', 'rules')
return {1, found[1] or '0', found[2] or ''}
