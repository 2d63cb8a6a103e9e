-- Makes single values and whole generations invalid.
-- KEYS: some values, then generations. ARGV: how many values, magic, lease_ms, generation_ms.

-- A number that can be raised by one, or nothing.
local function number(text)
  local n = type(text) == 'string' and string.match(text, '^%d+$') and tonumber(text)
  if n and n < 9e15 then return n end
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local values = tonumber(ARGV[1])
for i = 1, values do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 19)
  -- Where nothing is, no load that has begun can install anything.
  if head ~= '' then
    local old = type(head) == 'string' and number(string.sub(head, 5)) or 0
    redis.call('SET', KEYS[i], ARGV[2] .. string.format('%016.0f', math.max(now, old + 1)), 'PX', ARGV[3])
  end
end
for i = values + 1, #KEYS do
  local generation = math.max(now, (number(redis.pcall('GET', KEYS[i])) or 0) + 1)
  redis.call('SET', KEYS[i], string.format('%.0f', generation), 'PX', ARGV[4])
end
return #KEYS
