-- Server and node agree on the larger of the epochs that they know. Answers what they agree on.
-- KEYS: the hash of epochs. ARGV: for each a field, the number that the node knows, and 1 if it is to rise.

-- A number that can be raised by one, or nothing.
local function number(text)
  local n = type(text) == 'string' and string.match(text, '^%d+$') and tonumber(text)
  if n and n < 9e15 then return n end
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {}
for i = 1, #ARGV, 3 do
  local known = redis.pcall('HGET', KEYS[1], ARGV[i])
  if type(known) == 'table' then
    redis.call('DEL', KEYS[1])
  end
  local here = number(known) or 0
  local epoch = math.max(here, tonumber(ARGV[i + 1]))
  if epoch == 0 then epoch = now end
  if ARGV[i + 2] == '1' then epoch = math.max(epoch + 1, now) end
  if epoch ~= here then redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f', epoch)) end
  answer[#answer + 1] = string.format('%.0f', epoch)
end
return answer
