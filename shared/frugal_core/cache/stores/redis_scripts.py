"""What a Redis server does in one go, in its own language, Lua.

Names on the server, after the prefix: `meta` counts (`seq`: number of the last change, `floor`: what the feed reaches back to,
`bytes`), `e:KEY` an entry, `about` size and groups of each entry, which outlive its expiry, `use` entries by their last use or
number of uses, `ends` by their expiry, `live` entries with a vector and `gone` removed ones by the number of their last change,
`g:GROUP` keys of a namespace, tag or document, `log:NAME` lines, `lock:KEY`.

The number of a change is the time in microseconds, or one more than the last: it goes on rising if the server loses its memory.
"""

_COMMON = """
local P = string.sub(KEYS[1], 1, -6)
local META, ABOUT, USE, ENDS, LIVE, GONE = P..':meta', P..':about', P..':use', P..':ends', P..':live', P..':gone'
local function now() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local function text(number) return string.format('%.0f', number) end
local function number(name) return tonumber(redis.call('HGET', META, name) or 0) end
if redis.call('HEXISTS', META, 'floor') == 0 then
  local first = text(now())
  redis.call('HSET', META, 'floor', first, 'seq', first)
end
local function step()
  local seq = text(math.max(now(), number('seq') + 1))
  redis.call('HSET', META, 'seq', seq)
  return seq
end
local function tell_gone(key)
  redis.call('ZADD', GONE, step(), key)
  if redis.call('ZCARD', GONE) > KEPT_REMOVALS then
    redis.call('HSET', META, 'floor', text(tonumber(redis.call('ZPOPMIN', GONE)[2])))
  end
end
local function drop(key)
  local there = redis.call('DEL', P..':e:'..key)
  local about = redis.call('HGET', ABOUT, key)
  if about then
    local known = cmsgpack.unpack(about)
    redis.call('HINCRBY', META, 'bytes', -known[1])
    for place = 2, #known do redis.call('SREM', P..':g:'..known[place], key) end
    redis.call('HDEL', ABOUT, key)
    redis.call('ZREM', USE, key)
    redis.call('ZREM', ENDS, key)
  end
  if redis.call('ZREM', LIVE, key) == 1 then tell_gone(key) end
  return there
end
local function purge()
  local keys = redis.call('ZRANGEBYSCORE', ENDS, '-inf', text(now() / 1000), 'LIMIT', 0, 1000)
  for _, key in ipairs(keys) do drop(key) end
end
"""

_PUT = """
local key, body, embedder, partition, place, question, field, vector, ends, score, size, most, most_bytes = unpack(ARGV, 1, 13)
purge()
drop(key)
local name = P..':e:'..key
redis.call('HSET', name, 'j', body, 'e', embedder, 'p', partition, 't', place, 'q', question)
if field ~= '' then
  redis.call('HSET', name, 'd', field, field, vector)
  redis.call('ZREM', GONE, key)
  redis.call('ZADD', LIVE, step(), key)
end
local about = {tonumber(size)}
for place = 14, #ARGV do
  about[#about + 1] = ARGV[place]
  redis.call('SADD', P..':g:'..ARGV[place], key)
end
redis.call('HSET', ABOUT, key, cmsgpack.pack(about))
redis.call('HINCRBY', META, 'bytes', size)
redis.call('ZADD', USE, score, key)
if ends ~= '' then
  redis.call('ZADD', ENDS, ends, key)
  redis.call('PEXPIREAT', name, ends)
end
local evicted = 0
while evicted < 1000 and redis.call('ZCARD', USE) > 1 and (
  (most ~= '' and redis.call('ZCARD', USE) > tonumber(most)) or (most_bytes ~= '' and number('bytes') > tonumber(most_bytes))
) do
  local first = redis.call('ZRANGE', USE, 0, 1)
  drop(first[1] ~= key and first[1] or first[2])
  evicted = evicted + 1
end
return evicted
"""

_DELETE = """
local there = 0
for _, key in ipairs(ARGV) do there = there + drop(key) end
return there
"""

_REVISE = """
local key, embedder, place, field, vector = unpack(ARGV)
local name = P..':e:'..key
local about = redis.call('HGET', ABOUT, key)
if not about or redis.call('EXISTS', name) == 0 then return 0 end
local former, known, more = redis.call('HGET', name, 'd'), cmsgpack.unpack(about), #vector
if former then
  more = more - redis.call('HSTRLEN', name, former)
  redis.call('HDEL', name, former)
end
redis.call('HSET', name, 'e', embedder, 't', place, 'd', field, field, vector)
known[1] = known[1] + more
redis.call('HSET', ABOUT, key, cmsgpack.pack(known))
redis.call('HINCRBY', META, 'bytes', more)
redis.call('ZREM', GONE, key)
redis.call('ZADD', LIVE, step(), key)
return 1
"""

_POLL = """
purge()
local cursor, seq = tonumber(ARGV[1]), redis.call('HGET', META, 'seq')
if cursor == tonumber(seq) then return {seq, 0, {}, {}} end
if cursor < number('floor') or cursor > tonumber(seq) then return {seq, 1, redis.call('ZRANGE', LIVE, 0, -1), {}} end
local since = '('..text(cursor)
return {seq, 0, redis.call('ZRANGEBYSCORE', LIVE, since, '+inf'), redis.call('ZRANGEBYSCORE', GONE, since, '+inf')}
"""

_ROWS = """
local rows = {}
for place, key in ipairs(ARGV) do
  local name = P..':e:'..key
  local field = redis.call('HGET', name, 'd')
  rows[place] = field and redis.call('HMGET', name, 'p', 'q', 'e', field) or {}
end
return rows
"""

_SIZE = """
purge()
return {redis.call('ZCARD', USE), number('bytes')}
"""

_CLEAR = """
for _, key in ipairs(redis.call('ZRANGE', USE, 0, 999)) do drop(key) end
if redis.call('ZCARD', USE) > 0 then return 1 end
for _, field in ipairs(redis.call('HKEYS', META)) do
  if string.sub(field, 1, 4) == 'log:' then redis.call('DEL', P..':'..field) end
end
redis.call('DEL', LIVE, GONE)
redis.call('HSET', META, 'floor', step(), 'bytes', 0)
return 0
"""

_APPEND = """
local name, kept = P..':log:'..ARGV[1], tonumber(ARGV[2])
for place = 3, #ARGV do redis.call('RPUSH', name, ARGV[place]) end
redis.call('HINCRBY', META, 'log:'..ARGV[1], #ARGV - 2)
if redis.call('LLEN', name) > 2 * kept then redis.call('LTRIM', name, -kept, -1) end
"""

_READ = """
local name, cursor, most = P..':log:'..ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = number('log:'..ARGV[1])
local first = last - redis.call('LLEN', name)
if cursor > last then cursor = 0 end
local from = math.max(cursor, first)
local lines = redis.call('LRANGE', name, from - first, from - first + most - 1)
return {text(math.min(from + most, last)), lines, from + most < last and 1 or 0}
"""

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
"""Give back a lock, if it is still one's own."""


def scripts(kept_removals: int) -> dict[str, str]:
    """All scripts that are run with the prefix's `meta` as their key, by name.

    Args:
        kept_removals: Removed keys that the change feed remembers.
    """
    common = _COMMON.replace("KEPT_REMOVALS", str(kept_removals))
    named = {
        "put": _PUT,
        "delete": _DELETE,
        "revise": _REVISE,
        "poll": _POLL,
        "rows": _ROWS,
        "size": _SIZE,
        "clear": _CLEAR,
        "append": _APPEND,
        "read": _READ,
    }
    return {name: common + text for name, text in named.items()}
