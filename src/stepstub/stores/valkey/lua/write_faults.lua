-- Keeps faults, if their version is still the one that the caller knows.
--
-- ARGV: 4 that version, 5 the one that they have then, 6 the faults, then the phases and steps that
--       they may strike
-- Reply: 1, or 3 where others were faster
if not is_current() then
  return {0}
end
local version = redis.call('HGET', key('faults'), 'version') or '0'
if version == ARGV[5] then  -- a repetition, whose first attempt has arrived
  return {1}
end
if version ~= ARGV[4] then
  return {3}
end
redis.call('DEL', key('faults'))
redis.call('HSET', key('faults'), 'version', ARGV[5], 'rules', ARGV[6])
for index = 7, #ARGV do
  redis.call('HSET', key('faults'), ARGV[index], 1)
end
changed()
return {1}
