-- What every script of a sandbox begins with.
--
-- KEYS[1]  the sandbox: a hash with its epoch, its version and its description
-- ARGV[1]  the epoch that the caller knows; the keys of its state carry it
-- ARGV[2]  the version that the caller knows, '' for any; '*' is for an epoch that is being filled
-- ARGV[3]  the machine's time in ms, '' for the time of this server
--
-- Every reply begins with 0 where the sandbox has been reset, deleted or changed meanwhile.
local sandbox, epoch = KEYS[1], ARGV[1]

local function key(name)
  return sandbox .. ':' .. epoch .. ':' .. name
end

local function is_current()
  if ARGV[2] == '*' then
    return true
  end
  local found = redis.call('HMGET', sandbox, 'epoch', 'version')
  return found[1] == epoch and (ARGV[2] == '' or found[2] == ARGV[2])
end

local function whole(number)
  return string.format('%.0f', number)
end

local function server_time()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function wall_time()
  return tonumber(ARGV[3]) or server_time()
end

-- The sandbox's time, which never runs backwards; and whether it stands still.
local function time()
  local found = redis.call('HMGET', key('state'), 'frozen', 'ahead', 'last')
  local now = tonumber(found[1]) or wall_time() + (tonumber(found[2]) or 0)
  local last = tonumber(found[3])
  if last and now < last then
    now = last
  end
  return now, found[1] ~= false
end

local function keep_time(now)
  redis.call('HSET', key('state'), 'last', whole(now))
end

local function changed()
  redis.call('HINCRBY', key('state'), 'revision', 1)
  redis.call('PUBLISH', sandbox, '')
end

-- What an operation has remembered, if this is a repetition of it and the first attempt arrived.
local function remembered(operation, is_repetition)
  return is_repetition ~= '' and redis.call('GET', key('did:' .. operation))
end

local function remember(operation, outcome)
  redis.call('SET', key('did:' .. operation), outcome or 1, 'PX', 10000)
end

-- Keeps a delegate call, of no exchange where that is 0, and lets the one beyond the bound go. What
-- is owed for it is '' where nothing is. Returns its number.
local function keep_call(record, exchange, owed, lease, bound)
  local call = redis.call('HINCRBY', key('state'), 'calls', 1)
  redis.call('HSET', key('calls'), call, record)
  if exchange > 0 then
    redis.call('HSET', key('calls-of'), exchange, call)
    redis.call('HSET', key('callers'), call, exchange)
  end
  local old = call - tonumber(bound)
  if old > 0 then
    local caller = redis.call('HGET', key('callers'), old)
    if caller then
      redis.call('HDEL', key('calls-of'), caller)
      redis.call('HDEL', key('callers'), old)
    end
    redis.call('HDEL', key('calls'), old)
  end
  if owed ~= '' then
    local expires = whole(server_time() + tonumber(lease))
    redis.call('HSET', key('owed'), call, owed)
    redis.call('HSET', key('attempts'), call, 1)
    redis.call('ZADD', key('leases'), expires, call)
    redis.call('ZADD', KEYS[2], 'LT', expires, sandbox)
  end
  return call
end

-- Whether there is a fault that may strike this step in this phase.
local function has_fault(phase, step)
  local found = redis.call('HMGET', key('faults'), phase .. '|' .. step, phase .. '|*')
  return (found[1] or found[2]) and 1 or 0
end
