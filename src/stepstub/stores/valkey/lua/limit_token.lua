-- ARGV: 4 the digest of a token, 5 until when it is good or '', 6 for how many requests or ''
if not is_current() then
  return {0}
end
redis.call('HSET', key('limits'), ARGV[4], ARGV[5] .. ',' .. ARGV[6])
-- Others look the sandbox up again, and learn that its tokens have limits.
redis.call('HSET', sandbox, 'limited', 1)
redis.call('HINCRBY', sandbox, 'version', 1)
return {1}
