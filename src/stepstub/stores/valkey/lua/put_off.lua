-- Has a call that is in progress wait for a time on the sandbox's clock.
--
-- KEYS: 2 the sandboxes whose calls somebody may have to take over
-- ARGV: 4 the number of the call, 5 what is owed for it, 6 when it is due, 7 the lease in ms
-- Reply: 1
if not is_current() then
  return {0}
end
local now = time()
local expires = server_time() + math.max(0, tonumber(ARGV[6]) - now) + tonumber(ARGV[7])
redis.call('HSET', key('owed'), ARGV[4], ARGV[5])
redis.call('ZADD', key('late'), ARGV[6], ARGV[4])
redis.call('ZADD', key('leases'), whole(expires), ARGV[4])
redis.call('ZADD', KEYS[2], 'LT', whole(expires), sandbox)
return {1}
