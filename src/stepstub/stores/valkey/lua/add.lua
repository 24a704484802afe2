-- Adds processes, all of them or none, and the delegate call that starts the first of their steps.
--
-- KEYS: 2 the sandboxes whose calls somebody may have to take over
-- ARGV: 4 what tells this operation from others, 5 whether it is a repetition, 6 the call or '',
--       7 what is owed for it or '', 8 the lease in ms, 9 the bound of the calls, 10 how many
--       processes; then of each its id, its steps as a JSON array of ids, how many they are, and
--       of each step id and record
-- Reply: 1, the number of the call or 0
--        3, 'process' or 'step', the id that is in use
if not is_current() then
  return {0}
end
local call = remembered(ARGV[4], ARGV[5])
if call then
  return {1, tonumber(call)}
end
local index = 11
for _ = 1, tonumber(ARGV[10]) do
  if redis.call('HEXISTS', key('processes'), ARGV[index]) == 1 then
    return {3, 'process', ARGV[index]}
  end
  local count = tonumber(ARGV[index + 2])
  for place = index + 3, index + 1 + 2 * count, 2 do
    if redis.call('HEXISTS', key('steps'), ARGV[place]) == 1 then
      return {3, 'step', ARGV[place]}
    end
  end
  index = index + 3 + 2 * count
end
index = 11
for _ = 1, tonumber(ARGV[10]) do
  local count = tonumber(ARGV[index + 2])
  local order = redis.call('HINCRBY', key('state'), 'processes', 1)
  redis.call('HSET', key('processes'), ARGV[index], ARGV[index + 1])
  redis.call('ZADD', key('order'), order, ARGV[index])
  local before = nil
  for place = index + 3, index + 1 + 2 * count, 2 do
    redis.call('HSET', key('steps'), ARGV[place], ARGV[place + 1])
    if before then
      redis.call('HSET', key('next'), before, ARGV[place])
    end
    before = ARGV[place]
  end
  index = index + 3 + 2 * count
end
call = ARGV[6] == '' and 0 or keep_call(ARGV[6], 0, ARGV[7], ARGV[8], ARGV[9])
remember(ARGV[4], call)
changed()
return {1, call}
