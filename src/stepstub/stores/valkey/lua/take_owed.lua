-- Hands out the calls that are due, and those whose leases are over, each as a new attempt.
--
-- KEYS: 2 the sandboxes whose calls somebody may have to take over
-- ARGV: 4 the lease in ms
-- Reply: 1, the time, in how many ms the next one is due or -1; then of each its number, its
--        attempt, when it was due, and what is owed
if not is_current() then
  return {0}
end
local now, frozen = time()
local server = server_time()
local expires = server + tonumber(ARGV[4])
local reply = {1, now, -1}

local function hand_out(call, due)
  local owed = redis.call('HGET', key('owed'), call)
  redis.call('ZREM', key('late'), call)
  if not owed then
    redis.call('ZREM', key('leases'), call)
    return
  end
  redis.call('ZADD', key('leases'), whole(expires), call)
  reply[#reply + 1] = call
  reply[#reply + 1] = redis.call('HINCRBY', key('attempts'), call, 1)
  reply[#reply + 1] = due
  reply[#reply + 1] = owed
end

local late = redis.call('ZRANGEBYSCORE', key('late'), '-inf', whole(now), 'WITHSCORES')
for index = 1, #late, 2 do
  hand_out(late[index], late[index + 1])
end
for _, call in ipairs(redis.call('ZRANGEBYSCORE', key('leases'), '-inf', whole(server))) do
  if redis.call('ZSCORE', key('late'), call) then  -- the sandbox's clock stands still
    redis.call('ZADD', key('leases'), whole(expires), call)
  else
    hand_out(call, whole(now))
  end
end
local following = redis.call('ZRANGE', key('late'), 0, 0, 'WITHSCORES')
if following[2] and not frozen then
  reply[3] = tonumber(following[2]) - now
end
local lease = redis.call('ZRANGE', key('leases'), 0, 0, 'WITHSCORES')
if lease[2] then
  redis.call('ZADD', KEYS[2], lease[2], sandbox)
else
  redis.call('ZREM', KEYS[2], sandbox)
end
return reply
