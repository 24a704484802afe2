-- Writes a change where the records that it replaces stand. All checks come before all writes; but
-- how a delegate call has ended is kept in any case.
--
-- KEYS: 2 the sandboxes whose calls somebody may have to take over
-- ARGV: 4 the server's time until which this may be done, 5 what tells it from other changes,
--       6 whether it is a repetition, 7 the number of its exchange or 0, 8 the sandbox's time
--       before which it may be done or '', 9 the entry or '', 10 the phase of faults that may
--       strike or '', 11 the step of the exchange, 12 'keep' or 'end' a call or '', 13 the call,
--       14 its number (to end), 15 its attempt, 16 what is owed for it or '', 17 the lease in ms,
--       18 the bound of the calls, 19 a step that has to be the last one or '', 20 how many
--       records are replaced, 21 how many are written, 22 how many processes go; then of those
--       replaced id and record, of those written likewise, and the processes
-- Reply: 1, the time, whether faults may strike, the number of the call
--        2, the server's time: too late
--        3, the time, the records that stand: a conflict
local server = server_time()
if not is_current() then
  return {0}
end
local number, operation = tonumber(ARGV[7]), ARGV[5]
local now = time()

local function applied(call)
  local faults = ARGV[10] ~= '' and has_fault(ARGV[10], ARGV[11]) or 0
  return {1, now, faults, call}
end

local function call_of_mark(mark)
  return string.match(mark, '^(%d+):')
end

if ARGV[6] ~= '' then
  local mark = redis.call('GET', key('write:' .. operation))
    or number > 0 and redis.call('HGET', key('writes'), number)
  if mark and string.sub(mark, -#operation) == operation then
    return applied(call_of_mark(mark))
  end
end
if server > tonumber(ARGV[4]) then
  return {2, server}
end

local steps = key('steps')
local first = 23
local replaced, written = tonumber(ARGV[20]), tonumber(ARGV[21])
local stands = ARGV[8] == '' or now < tonumber(ARGV[8])
for index = first, first + 2 * replaced - 1, 2 do
  stands = stands and redis.call('HGET', steps, ARGV[index]) == ARGV[index + 1]
end
if ARGV[19] ~= '' and redis.call('HEXISTS', key('next'), ARGV[19]) == 1 then
  stands = false
end
local call = ARGV[14]
if ARGV[12] == 'end' then
  -- Of several that make a call, after one was thought to be dead, the first that ends it counts.
  if redis.call('HEXISTS', key('attempts'), call) == 1 then
    remember(operation)
    redis.call('HSET', key('calls'), call, ARGV[13])
    redis.call('HDEL', key('owed'), call)
    redis.call('HDEL', key('attempts'), call)
    redis.call('ZREM', key('leases'), call)
  elseif not remembered(operation, ARGV[6]) then
    stands = false
  end
end
if not stands then
  local reply = {3, now}
  for index = first, first + 2 * replaced - 1, 2 do
    reply[#reply + 1] = redis.call('HGET', steps, ARGV[index])
  end
  return reply
end

local after = first + 2 * replaced
for index = after, after + 2 * written - 1, 2 do
  redis.call('HSET', steps, ARGV[index], ARGV[index + 1])
end
after = after + 2 * written
for index = after, after + tonumber(ARGV[22]) - 1 do
  local process = ARGV[index]
  for _, id in ipairs(cjson.decode(redis.call('HGET', key('processes'), process) or '[]')) do
    redis.call('HDEL', steps, id)
    redis.call('HDEL', key('next'), id)
  end
  redis.call('HDEL', key('processes'), process)
  redis.call('ZREM', key('order'), process)
end
if ARGV[12] == 'keep' then
  call = keep_call(ARGV[13], number, ARGV[16], ARGV[17], ARGV[18])
end
-- The journal may have let the exchange go.
local is_kept = number > 0 and redis.call('HEXISTS', key('journal'), number) == 1
if is_kept and ARGV[9] ~= '' then
  redis.call('HSET', key('journal'), number, ARGV[9])
end
local mark = call .. ':' .. operation
if is_kept then
  redis.call('HSET', key('writes'), number, mark)
else
  redis.call('SET', key('write:' .. operation), mark, 'PX', 10000)
end
keep_time(now)
changed()
return applied(call)
