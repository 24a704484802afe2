-- Processes with their records, all at one instant.
--
-- ARGV: 4 the id of the one that is wanted; else '' and 5 how many to leave out, 6 how many at most
-- Reply: 1, the time, the total, then of each an array: its id and the records
if not is_current() then
  return {0}
end
local wanted = {}
if ARGV[4] ~= '' then
  wanted = {ARGV[4]}
elseif tonumber(ARGV[6]) > 0 then
  local offset = tonumber(ARGV[5])
  wanted = redis.call('ZRANGE', key('order'), offset, offset + tonumber(ARGV[6]) - 1)
end
local reply = {1, time(), redis.call('ZCARD', key('order'))}
for _, id in ipairs(wanted) do
  local steps = redis.call('HGET', key('processes'), id)
  if steps then
    local found = {id}
    for place, step in ipairs(cjson.decode(steps)) do
      found[place + 1] = redis.call('HGET', key('steps'), step)
    end
    reply[#reply + 1] = found
  end
end
return reply
