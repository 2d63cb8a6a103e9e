-- Server and node agree on the larger of the epochs that they know. Answers what they agree on.
-- KEYS: the hash of epochs. ARGV: for each a field, the number that the node knows, and 1 if it is to rise.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {}
for i = 1, #ARGV, 3 do
  local known = redis.pcall('HGET', KEYS[1], ARGV[i])
  if type(known) == 'table' then
    redis.call('DEL', KEYS[1])
    known = false
  end
  local digits = known and string.match(known, '^%d+$')
  local here = digits and tonumber(digits) or 0
  local epoch = math.max(here, tonumber(ARGV[i + 1]))
  if epoch == 0 then epoch = now end
  if ARGV[i + 2] == '1' then epoch = math.max(epoch + 1, now) end
  if epoch ~= here then redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f', epoch)) end
  answer[#answer + 1] = string.format('%.0f', epoch)
end
return answer
