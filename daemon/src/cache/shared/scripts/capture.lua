-- What must still be so when a load that begins now is done? Answers the head of the value's key and the generations.
-- KEYS: the value, then the generations. ARGV: magic, lease_ms, generation_ms, the head of a value that is no good.
--
-- What is missing is made from the server's clock: it never has a number again that it had before it was lost.

-- A number that can be raised by one, or nothing.
local function number(text)
  local n = type(text) == 'string' and string.match(text, '^%d+$') and tonumber(text)
  if n and n < 9e15 then return n end
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local head = redis.pcall('GETRANGE', KEYS[1], 0, 19)
if type(head) ~= 'string' or #head ~= 20 or string.sub(head, 1, 4) ~= ARGV[1] or head == ARGV[4] then
  local old = type(head) == 'string' and number(string.sub(head, 5)) or 0
  head = ARGV[1] .. string.format('%016.0f', math.max(now, old + 1))
  redis.call('SET', KEYS[1], head, 'PX', ARGV[2])
end
local answer = {head}
for i = 2, #KEYS do
  local generation = redis.pcall('GET', KEYS[i])
  if not number(generation) then
    generation = string.format('%.0f', now)
    redis.call('SET', KEYS[i], generation, 'PX', ARGV[3])
  end
  answer[i] = generation
end
return answer
