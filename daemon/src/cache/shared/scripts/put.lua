-- Installs a value if nothing that it depends on has changed since its load began. Answers 1, or 0 if something has.
-- KEYS: the value, then the generations. ARGV: the head, the value, its life in ms, generation_ms, the generations.
if redis.pcall('GETRANGE', KEYS[1], 0, 19) ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  if redis.pcall('GET', KEYS[i]) ~= ARGV[i + 3] then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
-- A generation outlives every value that was made in it.
for i = 2, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
return 1
