-- Makes single values and whole generations invalid.
-- KEYS: some values, then generations. ARGV: how many values, magic, lease_ms, generation_ms.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local values = tonumber(ARGV[1])
for i = 1, values do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 19)
  -- Where nothing is, no load that has begun can install anything.
  if head ~= '' then
    local lease = now
    if type(head) == 'string' then
      local digits = string.match(string.sub(head, 5), '^%d+$')
      if digits then lease = math.max(now, tonumber(digits) + 1) end
    end
    redis.call('SET', KEYS[i], ARGV[2] .. string.format('%016.0f', lease), 'PX', ARGV[3])
  end
end
for i = values + 1, #KEYS do
  local old = redis.pcall('GET', KEYS[i])
  local digits = type(old) == 'string' and string.match(old, '^%d+$')
  local generation = math.max(now, (digits and tonumber(digits) or 0) + 1)
  redis.call('SET', KEYS[i], string.format('%.0f', generation), 'PX', ARGV[4])
end
return #KEYS
