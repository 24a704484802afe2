-- ARGV: 4 a prefix. Reply: 1, the next number of it
if not is_current() then
  return {0}
end
return {1, redis.call('HINCRBY', key('ids'), ARGV[4], 1)}
