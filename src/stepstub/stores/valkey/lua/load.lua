-- A step and the one after it. Begins an exchange, if an entry comes with it.
--
-- ARGV: 4 the bound of the journal, 5 an entry or '', 6 whether it is about a step, 7 the step,
--       8 what tells this attempt from others, 9 whether it is a repetition
-- Reply: 1, the time, the number of the exchange, step, next step, whether faults may strike
if not is_current() then
  return {0}
end
local now = time()
local number, opened = 0, nil
if ARGV[5] ~= '' then
  local state, journal = key('state'), key('journal')
  local mark = ARGV[8] .. ':'
  if ARGV[9] ~= '' then
    -- The first attempt may have arrived: its entry is among the last ones then.
    local last = tonumber(redis.call('HGET', state, 'exchanges') or 0)
    for candidate = last, math.max(1, last - 1000), -1 do
      local kept = redis.call('HGET', journal, candidate)
      if kept and string.sub(kept, 1, #mark) == mark then
        number = candidate
        break
      end
    end
  end
  if number == 0 then
    number = redis.call('HINCRBY', state, 'exchanges', 1)
    redis.call('HSET', journal, number, mark .. whole(now) .. ':' .. ARGV[5])
    local about, steps = key('about'), key('journal-steps')
    local old = number - tonumber(ARGV[4])
    if old > 0 then
      local step = redis.call('HGET', about, old)
      if step then
        local numbers = redis.call('HGET', steps, step)
        local rest = numbers and string.match(numbers, '^%d+,(.*)$')
        if rest then
          redis.call('HSET', steps, step, rest)
        else
          redis.call('HDEL', steps, step)
        end
        redis.call('HDEL', about, old)
      end
      redis.call('HDEL', journal, old)
      redis.call('HDEL', key('writes'), old)
    end
    if ARGV[6] ~= '' then
      local numbers = redis.call('HGET', steps, ARGV[7])
      redis.call('HSET', steps, ARGV[7], numbers and numbers .. ',' .. number or number)
      redis.call('HSET', about, number, ARGV[7])
    end
    keep_time(now)
    changed()
  end
end
local step, following, faults = false, false, 0
if ARGV[6] ~= '' then
  step = redis.call('HGET', key('steps'), ARGV[7])
  if step then
    local id = redis.call('HGET', key('next'), ARGV[7])
    following = id and redis.call('HGET', key('steps'), id)
  end
  if number > 0 then
    faults = has_fault('before', ARGV[7])
  end
end
return {1, now, number, step, following, faults}
