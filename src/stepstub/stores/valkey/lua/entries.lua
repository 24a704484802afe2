-- Some entries of the journal.
--
-- ARGV: 4 the bound of the journal, 5 whether only those about a step are wanted, 6 that step,
--       7 the number after which they come, 8 that before which they come or ''
--       9 whether the newest come first, 10 how many at most
-- Reply: 1, how many the journal has let go, how many were looked at, the number and the entry of
--        each
if not is_current() then
  return {0}
end
local state = redis.call('HMGET', key('state'), 'exchanges', 'cleared')
local last, cleared = tonumber(state[1] or 0), tonumber(state[2] or 0)
local gone = math.max(cleared, last - tonumber(ARGV[4]))
local from = math.max(gone, tonumber(ARGV[7])) + 1
local to = math.min(last, (tonumber(ARGV[8]) or last + 1) - 1)
local numbers = {}
if ARGV[5] ~= '' then
  for each in string.gmatch(redis.call('HGET', key('journal-steps'), ARGV[6]) or '', '%d+') do
    local number = tonumber(each)
    if number >= from and number <= to then
      numbers[#numbers + 1] = number
    end
  end
else
  local most = tonumber(ARGV[10])
  if ARGV[9] ~= '' then
    from = math.max(from, to - most + 1)
  else
    to = math.min(to, from + most - 1)
  end
  for number = from, to do
    numbers[#numbers + 1] = number
  end
end
local reply = {1, gone, #numbers}
for _, number in ipairs(numbers) do
  local entry = redis.call('HGET', key('journal'), number)
  if entry then
    reply[#reply + 1] = number
    reply[#reply + 1] = entry
  end
end
return reply
