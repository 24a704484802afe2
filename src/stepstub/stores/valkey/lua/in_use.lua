-- ARGV: 4 an id. Reply: 1, whether a process or a step has it
if not is_current() then
  return {0}
end
local used = redis.call('HEXISTS', key('processes'), ARGV[4]) == 1
return {1, (used or redis.call('HEXISTS', key('steps'), ARGV[4]) == 1) and 1 or 0}
