-- Keeps faults, if their version is still the one that the caller knows.
--
-- ARGV: 4 what tells this operation from others, 5 whether it is a repetition, 6 that version,
--       7 the faults, then the phases and steps that they may strike
-- Reply: 1, or 3 where others were faster
if not is_current() then
  return {0}
end
if remembered(ARGV[4], ARGV[5]) then
  return {1}
end
local version = redis.call('HGET', key('faults'), 'version') or '0'
if version ~= ARGV[6] then
  return {3}
end
redis.call('DEL', key('faults'))
redis.call('HSET', key('faults'), 'version', version + 1, 'rules', ARGV[7])
for index = 8, #ARGV do
  redis.call('HSET', key('faults'), ARGV[index], 1)
end
remember(ARGV[4])
changed()
return {1}
