import { LEVEL_MS, MARGIN_MS, SAVING_MS, TIGHTEN_EVERY_MS } from "../../domain/limit/bucket.js";

/**
 * `lease` over the buckets of one scope, on the server's clock: what src/domain/limit/bucket.ts and lease.ts say, in the server's
 * language. A bucket is a hash: `born`, `at`, `level`, `sum`, `factor`, `tightened`, `stated`, `learned`, `before`, `seeded`, `first` (the
 * oldest slot that is counted), `saver`, `saved`, `saveduntil`, and a field `s<number>` a slot.
 *
 * KEYS: a bucket each. ARGV: asker, calls, tokens, needTokens, anew (0 or 1), then the number of returned grants and for each its calls,
 * tokens and time, then for each bucket: unit (r or t), stated limit, learned limit (-1: nothing new), tighten (0 or 1), windowMs, slotMs,
 * paced (0 or 1), then the number of its seeds (-1: none are known) and for each its age and amount.
 * Answers calls, tokens, the server's time in ms, ms to wait, number of the bucket that refused (0: none), whether one is unseeded (0 or 1);
 * tokens and times as text.
 */
export const LEASE_SCRIPT = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local asker = ARGV[1]
local calls, tokens, need_tokens = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local anew = ARGV[5] == '1'
local arg = 6
local returned = {}
local returns = tonumber(ARGV[arg])
arg = arg + 1
for i = 1, returns do
  returned[i] = { tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]) }
  arg = arg + 3
end
local EPSILON = 0.000001
local FIELDS = { 'born', 'at', 'level', 'sum', 'factor', 'tightened', 'learned', 'before', 'first', 'saver', 'saved', 'saveduntil', 'seeded' }

local function limit_of(b)
  local limit = b.stated
  if b.learned >= 0 and b.learned < limit then limit = b.learned end
  return limit * b.factor
end
local function span(b) return math.ceil((b.window + ${String(MARGIN_MS)}) / b.slot) + 1 end
local function counted(b) return span(b) * b.slot end
local function per_ms(b) return limit_of(b) / counted(b) end
local function cap(b) return math.max(1, per_ms(b) * ${String(LEVEL_MS)}) end
local function used(b)
  if b.before == 0 then return b.sum end
  local burst = b.paced and cap(b) / per_ms(b) or 0
  local gone = math.max(0, b.at - b.born - burst)
  return b.sum + b.before * limit_of(b) * math.max(0, 1 - gone / counted(b))
end
local function due(b, amount) return math.min(amount, cap(b)) end
local function saved_for(b)
  if b.saver == '' or b.saver == asker or b.at >= b.saveduntil then return 0 end
  return b.saved
end

local buckets = {}
for i, key in ipairs(KEYS) do
  local b = { key = key, unit = ARGV[arg], stated = tonumber(ARGV[arg + 1]), window = tonumber(ARGV[arg + 4]),
    slot = tonumber(ARGV[arg + 5]), paced = ARGV[arg + 6] == '1' }
  local learned, tighten = tonumber(ARGV[arg + 2]), ARGV[arg + 3] == '1'
  arg = arg + 7
  local seeds = tonumber(ARGV[arg])
  local seeds_at = arg + 1
  arg = arg + 1 + 2 * math.max(0, seeds)
  local found = redis.call('HMGET', key, unpack(FIELDS))
  if not found[1] or anew then
    -- A full server looks at a script's first write only, and would let all others pass behind a DEL.
    redis.call('HSET', key, 'born', '0')
    redis.call('DEL', key)
    b.born, b.at, b.level, b.sum, b.tightened = now, now, 0, 0, 0
    b.factor = tonumber(found[5] or 1)
    b.learned = tonumber(found[7] or -1)
    b.before, b.saver, b.saved, b.saveduntil = 1, '', 0, 0
    b.first, b.seeded = math.floor(now / b.slot), '0'
  else
    b.born, b.at, b.level, b.sum = tonumber(found[1]), tonumber(found[2]), tonumber(found[3]), tonumber(found[4])
    b.factor, b.tightened, b.learned = tonumber(found[5]), tonumber(found[6]), tonumber(found[7])
    b.before, b.first = tonumber(found[8]), tonumber(found[9])
    b.saver, b.saved, b.saveduntil = found[10], tonumber(found[11]), tonumber(found[12])
    b.seeded = found[13] or '0'
  end
  if learned >= 0 then b.learned = learned end
  local passed = math.max(0, now - b.at)
  b.at = b.at + passed
  b.factor = math.min(1, b.factor + passed * 0.00001)
  b.level = math.min(cap(b), b.level + passed * per_ms(b))
  local oldest = math.floor(b.at / b.slot) - span(b)
  if b.first <= oldest then
    if oldest - b.first > 2000 then
      local all = redis.call('HKEYS', key)
      for _, field in ipairs(all) do
        if string.sub(field, 1, 1) == 's' and tonumber(string.sub(field, 2)) ~= nil then redis.call('HDEL', key, field) end
      end
      b.sum = 0
    else
      local gone = {}
      for slot = b.first, oldest do gone[#gone + 1] = 's' .. string.format('%d', slot) end
      local amounts = redis.call('HMGET', key, unpack(gone))
      local held = {}
      for j, amount in ipairs(amounts) do
        if amount then
          b.sum = b.sum - tonumber(amount)
          held[#held + 1] = gone[j]
        end
      end
      if #held > 0 then redis.call('HDEL', key, unpack(held)) end
    end
    b.first = oldest + 1
  end
  if seeds >= 0 and not b.paced and b.seeded ~= '1' then
    b.seeded, b.before = '1', 0
    for i = 0, seeds - 1 do
      local ago, amount = tonumber(ARGV[seeds_at + 2 * i]), tonumber(ARGV[seeds_at + 2 * i + 1])
      local slot = math.floor(math.min(b.at - ago, b.born - 1) / b.slot)
      if slot > oldest then
        redis.call('HINCRBYFLOAT', key, 's' .. string.format('%d', slot), string.format('%.17g', amount))
        b.sum = b.sum + amount
        b.first = math.min(b.first, slot)
      end
    end
  end
  if tighten and b.at - b.tightened >= ${String(TIGHTEN_EVERY_MS)} then
    b.tightened = b.at
    b.factor = math.max(0.05, b.factor * 0.5)
    b.level = math.min(b.level, 0)
  end
  for _, grant in ipairs(returned) do
    local amount = b.unit == 'r' and grant[1] or grant[2]
    local field = 's' .. string.format('%d', math.floor(grant[3] / b.slot))
    local there = grant[3] >= b.born and redis.call('HGET', key, field)
    if there then
      local back = math.min(tonumber(there), amount)
      redis.call('HINCRBYFLOAT', key, field, string.format('%.17g', -back))
      b.sum = b.sum - back
      b.level = math.min(cap(b), b.level + back)
    end
  end
  b.need = b.unit == 'r' and 1 or need_tokens
  buckets[i] = b
end

local wait, by, unseeded = 0, 0, 0
local may_begin = true
for i, b in ipairs(buckets) do
  local saved = saved_for(b)
  if not b.paced and b.seeded ~= '1' then unseeded = 1 end
  if b.saver ~= '' and b.saver ~= asker and b.at < b.saveduntil then may_begin = false end
  local over = used(b) + saved + b.need - limit_of(b)
  local below = b.paced and due(b, b.need) + due(b, saved) - b.level or 0
  b.lacks = over > EPSILON or below > EPSILON
  if b.lacks then
    local ms = math.ceil(math.max(0, over, below) / per_ms(b))
    if by == 0 or ms >= wait then wait, by = ms, i end
  end
end
local got_calls, got_tokens = 0, 0
if by == 0 then
  local calls_most, tokens_most = calls, tokens
  for _, b in ipairs(buckets) do
    local saved = saved_for(b)
    local most = limit_of(b) + EPSILON - used(b) - saved
    if b.paced then most = math.min(most, b.level + EPSILON - due(b, saved)) end
    most = math.floor(math.max(0, most))
    if b.unit == 'r' then calls_most = math.min(calls_most, most) else tokens_most = math.min(tokens_most, most) end
  end
  if tokens == 0 then
    got_calls = calls_most
  else
    local per_call = math.max(1, tokens / calls)
    got_calls = math.max(1, math.min(calls_most, math.max(1, math.ceil(tokens_most / per_call))))
    got_tokens = math.max(need_tokens, math.min(tokens_most, math.ceil(got_calls * per_call)))
  end
end
for _, b in ipairs(buckets) do
  if by == 0 then
    local amount = b.unit == 'r' and got_calls or got_tokens
    redis.call('HINCRBYFLOAT', b.key, 's' .. string.format('%d', math.floor(b.at / b.slot)), string.format('%.17g', amount))
    b.sum = b.sum + amount
    b.level = math.max(-cap(b), b.level - amount)
    if b.saver == asker then b.saver = '' end
  elseif b.lacks and b.need <= limit_of(b) + EPSILON and (may_begin or (b.saver == asker and b.at < b.saveduntil)) then
    b.saver, b.saved, b.saveduntil = asker, b.need, b.at + ${String(SAVING_MS)}
  end
  local function n(value) return string.format('%.17g', value) end
  redis.call('HSET', b.key, 'born', n(b.born), 'at', n(b.at), 'level', n(b.level), 'sum', n(math.max(0, b.sum)), 'factor', n(b.factor),
    'tightened', n(b.tightened), 'learned', n(b.learned), 'stated', n(b.stated), 'before', n(b.before), 'first', n(b.first),
    'saver', b.saver, 'saved', n(b.saved), 'saveduntil', n(b.saveduntil), 'seeded', b.seeded)
  redis.call('PEXPIRE', b.key, counted(b) * 2)
end
return { got_calls, string.format('%.17g', got_tokens), string.format('%.17g', now), wait, by, unseeded }
`;
