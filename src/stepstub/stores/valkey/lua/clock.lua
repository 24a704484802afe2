-- The sandbox's time, and whether it stands still; it is moved, if that is asked for.
--
-- ARGV: 4 by how many ms, '' to look only, 5 '1' to freeze, '0' to resume, '' to leave it,
--       6 the end of time, 7 what tells this operation from others, 8 whether it is a repetition
-- Reply: 1, the time, whether it stands still, its revision
--        3 beyond the end of time
if not is_current() then
  return {0}
end
local state = key('state')
local now, frozen = time()
if ARGV[4] ~= '' and not remembered(ARGV[7], ARGV[8]) then
  now = now + tonumber(ARGV[4])
  if now > tonumber(ARGV[6]) then
    return {3}
  end
  if ARGV[5] ~= '' then
    frozen = ARGV[5] == '1'
  end
  if frozen then
    redis.call('HSET', state, 'frozen', whole(now))
  else
    redis.call('HDEL', state, 'frozen')
    redis.call('HSET', state, 'ahead', whole(now - wall_time()))
  end
  keep_time(now)
  remember(ARGV[7])
  changed()
end
return {1, now, frozen and 1 or 0, redis.call('HGET', state, 'revision') or '0'}
