-- Delegate calls.
--
-- ARGV: 4 '' for all of them; else those of exchanges, whose numbers follow
-- Reply: 1, then of each the number that it is found by, its own number, and the call
if not is_current() then
  return {0}
end
local reply = {1}
local function found(by, number, call)
  reply[#reply + 1] = by
  reply[#reply + 1] = number
  reply[#reply + 1] = call
end
if ARGV[4] == '' then
  local all = redis.call('HGETALL', key('calls'))
  for index = 1, #all, 2 do
    found(all[index], all[index], all[index + 1])
  end
else
  for index = 5, #ARGV do
    local number = redis.call('HGET', key('calls-of'), ARGV[index])
    local call = number and redis.call('HGET', key('calls'), number)
    if call then
      found(ARGV[index], number, call)
    end
  end
end
return reply
