-- Keeps what has become of an exchange, unless the journal has let it go.
--
-- ARGV: 4 the number of the exchange, 5 the entry, 6 the number of a call or '', 7 the call,
--       8 its attempt, 9 whether the call is over, 10 the phase of faults that may strike or '',
--       11 the step of the exchange
-- Reply: 1, the time, whether faults may strike; of a call that had ended before: as it did or ''
if not is_current() then
  return {0}
end
local number = tonumber(ARGV[4])
local now = time()
if number > 0 and redis.call('HEXISTS', key('journal'), number) == 1 then
  redis.call('HSET', key('journal'), number, ARGV[5])
end
local ended = ''
if ARGV[6] ~= '' then
  local attempt = redis.call('HGET', key('attempts'), ARGV[6])
  if not attempt and ARGV[9] ~= '' then
    ended = redis.call('HGET', key('calls'), ARGV[6]) or ''
  end
  -- Of several that make a call, after one was thought to be dead, the first that ends it counts.
  local speaks = attempt and (ARGV[9] ~= '' or attempt == ARGV[8])
  if speaks and redis.call('HEXISTS', key('calls'), ARGV[6]) == 1 then
    redis.call('HSET', key('calls'), ARGV[6], ARGV[7])
  end
  if speaks and ARGV[9] ~= '' then
    redis.call('HDEL', key('owed'), ARGV[6])
    redis.call('HDEL', key('attempts'), ARGV[6])
    redis.call('ZREM', key('leases'), ARGV[6])
  end
end
keep_time(now)
changed()
return {1, now, ARGV[10] ~= '' and has_fault(ARGV[10], ARGV[11]) or 0, ended}
