"""The tables and functions of a PostgreSQL store.

`meta` is one row that every writer locks first: it counts, and numbers the changes. So changes become visible in the order of
their numbers, which a sequence does not promise, and a reader who knows one number misses none that comes later. The number is
the time in microseconds, or one more than the last: it goes on rising if the tables are made anew.

Texts are bytes: PostgreSQL's own texts have no place for character 0, nor for halves of surrogate pairs.
"""

VERSION = 1
"""Of the tables and functions; `meta` knows which one is there."""

TABLES = """
CREATE SCHEMA IF NOT EXISTS {s};
CREATE TABLE IF NOT EXISTS {s}.entries (
  key bytea PRIMARY KEY, partition bytea NOT NULL, embedder bytea NOT NULL, question bytea NOT NULL, vector bytea,
  body bytea NOT NULL, groups bytea[] NOT NULL, size bigint NOT NULL, expires double precision,
  used double precision NOT NULL, uses bigint NOT NULL, change bigint NOT NULL);
CREATE INDEX IF NOT EXISTS entries_change ON {s}.entries (change) WHERE vector IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_expires ON {s}.entries (expires) WHERE expires IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_used ON {s}.entries (used);
CREATE INDEX IF NOT EXISTS entries_uses ON {s}.entries (uses, used);
CREATE INDEX IF NOT EXISTS entries_groups ON {s}.entries USING gin (groups);
CREATE TABLE IF NOT EXISTS {s}.gone (key bytea PRIMARY KEY, change bigint NOT NULL);
CREATE INDEX IF NOT EXISTS gone_change ON {s}.gone (change);
CREATE TABLE IF NOT EXISTS {s}.logs (log text, place bigint, line bytea NOT NULL, PRIMARY KEY (log, place));
CREATE TABLE IF NOT EXISTS {s}.log_ends (log text PRIMARY KEY, last bigint NOT NULL);
CREATE UNLOGGED TABLE IF NOT EXISTS {s}.locks (key bytea PRIMARY KEY, token text NOT NULL, expires double precision NOT NULL);
CREATE TABLE IF NOT EXISTS {s}.meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), version int NOT NULL, seq bigint NOT NULL, floor bigint NOT NULL,
  entries bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0);

CREATE OR REPLACE FUNCTION {s}.now_s() RETURNS double precision LANGUAGE sql VOLATILE AS
  'SELECT extract(epoch FROM clock_timestamp())::double precision';

CREATE OR REPLACE FUNCTION {s}.step() RETURNS bigint LANGUAGE sql AS
  'UPDATE {s}.meta SET seq = greatest(seq + 1, (1e6 * {s}.now_s())::bigint) RETURNING seq';

CREATE OR REPLACE FUNCTION {s}.drop_keys(keys bytea[], own_change bigint) RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
  alive int; every int; taken bigint; told int;
BEGIN
  WITH dropped AS (DELETE FROM {s}.entries e WHERE e.key = ANY (keys) RETURNING e.key, e.size, e.vector, e.expires),
    noted AS (
      INSERT INTO {s}.gone SELECT d.key, own_change FROM dropped d WHERE d.vector IS NOT NULL
      ON CONFLICT (key) DO UPDATE SET change = excluded.change RETURNING 1)
  SELECT count(*) FILTER (WHERE d.expires IS NULL OR d.expires > {s}.now_s()), count(*), coalesce(sum(d.size), 0),
    (SELECT count(*) FROM noted)
  INTO alive, every, taken, told FROM dropped d;
  IF every > 0 THEN
    UPDATE {s}.meta SET entries = entries - every, bytes = bytes - taken;
  END IF;
  IF told >= 16 OR (told > 0 AND own_change % 16 = 0) THEN  -- not each time: it takes a while
    WITH old AS (
      DELETE FROM {s}.gone WHERE change <= (SELECT change FROM {s}.gone ORDER BY change DESC OFFSET {kept} LIMIT 1)
      RETURNING change)
    UPDATE {s}.meta SET floor = greatest(floor, (SELECT coalesce(max(change), 0) FROM old));
  END IF;
  RETURN alive;
END $body$;

CREATE OR REPLACE FUNCTION {s}.purge() RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
  IF EXISTS (SELECT 1 FROM {s}.entries WHERE expires <= {s}.now_s()) THEN
    PERFORM {s}.drop_keys(
      ARRAY(SELECT key FROM {s}.entries WHERE expires <= {s}.now_s() ORDER BY expires LIMIT 1000), {s}.step());
  END IF;
END $body$;

CREATE OR REPLACE FUNCTION {s}.touch(keys bytea[], times double precision[], counts bigint[]) RETURNS void
LANGUAGE sql AS $body$
  WITH told AS (SELECT * FROM unnest(keys, times, counts) AS t (key, used, uses)),
    free AS (SELECT e.key FROM {s}.entries e WHERE e.key = ANY (keys) ORDER BY e.key FOR UPDATE SKIP LOCKED)
  UPDATE {s}.entries e SET used = greatest(e.used, told.used), uses = e.uses + told.uses
  FROM told JOIN free USING (key) WHERE e.key = told.key
$body$;

CREATE OR REPLACE FUNCTION {s}.put(
  own_key bytea, own_partition bytea, own_embedder bytea, own_question bytea, own_vector bytea, own_body bytea,
  own_groups bytea[], own_size bigint, own_expires double precision, now_used double precision,
  most bigint, most_bytes bigint, lfu boolean,
  touched bytea[], times double precision[], counts bigint[]) RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
  own_change bigint := {s}.step(); number bigint; taken bigint; victims bytea[]; evicted int := 0;
BEGIN
  IF cardinality(touched) > 0 THEN PERFORM {s}.touch(touched, times, counts); END IF;
  PERFORM {s}.purge();
  PERFORM {s}.drop_keys(ARRAY[own_key], own_change);
  own_change := {s}.step();
  IF own_vector IS NOT NULL THEN DELETE FROM {s}.gone WHERE key = own_key; END IF;
  INSERT INTO {s}.entries VALUES (own_key, own_partition, own_embedder, own_question, own_vector, own_body, own_groups,
    own_size, own_expires, now_used, 1, own_change);
  UPDATE {s}.meta SET entries = entries + 1, bytes = bytes + own_size RETURNING entries, bytes INTO number, taken;
  WHILE number > 1 AND evicted < 1000 AND (number > most OR taken > most_bytes) LOOP
    IF lfu THEN
      victims := ARRAY(SELECT key FROM {s}.entries WHERE key <> own_key ORDER BY uses, used
        LIMIT least(1000, greatest(1, number - most)));
    ELSE
      victims := ARRAY(SELECT key FROM {s}.entries WHERE key <> own_key ORDER BY used
        LIMIT least(1000, greatest(1, number - most)));
    END IF;
    EXIT WHEN cardinality(victims) = 0;
    PERFORM {s}.drop_keys(victims, {s}.step());
    evicted := evicted + cardinality(victims);
    SELECT entries, bytes INTO number, taken FROM {s}.meta;
  END LOOP;
  RETURN evicted;
END $body$;

CREATE OR REPLACE FUNCTION {s}.revise(own_key bytea, own_vector bytea, own_embedder bytea) RETURNS void
LANGUAGE plpgsql AS $body$
DECLARE
  own_change bigint := {s}.step(); former bigint;
BEGIN
  SELECT coalesce(length(vector), 0) INTO former FROM {s}.entries
  WHERE key = own_key AND (expires IS NULL OR expires > {s}.now_s());
  IF former IS NULL THEN RETURN; END IF;
  UPDATE {s}.entries SET vector = own_vector, embedder = own_embedder, size = size + length(own_vector) - former,
    change = own_change WHERE key = own_key;
  UPDATE {s}.meta SET bytes = bytes + length(own_vector) - former;
  DELETE FROM {s}.gone WHERE key = own_key;
END $body$;

CREATE OR REPLACE FUNCTION {s}.drop_some(keys bytea[]) RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
  own_change bigint := {s}.step();
BEGIN
  RETURN {s}.drop_keys(keys, own_change);
END $body$;

CREATE OR REPLACE FUNCTION {s}.poll(OUT own_seq bigint, OUT own_floor bigint) LANGUAGE plpgsql AS $body$
BEGIN
  PERFORM {s}.purge();
  SELECT seq, floor INTO own_seq, own_floor FROM {s}.meta;
END $body$;

CREATE OR REPLACE FUNCTION {s}.clear() RETURNS boolean LANGUAGE plpgsql AS $body$
DECLARE
  own_change bigint := {s}.step();
BEGIN
  PERFORM {s}.drop_keys(ARRAY(SELECT key FROM {s}.entries LIMIT 1000), own_change);
  IF EXISTS (SELECT 1 FROM {s}.entries) THEN RETURN true; END IF;
  DELETE FROM {s}.gone;
  DELETE FROM {s}.logs;
  own_change := {s}.step();
  UPDATE {s}.meta SET entries = 0, bytes = 0, floor = own_change;
  RETURN false;
END $body$;

CREATE OR REPLACE FUNCTION {s}.append(own_log text, lines bytea[], kept bigint) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
  number int := cardinality(lines); own_last bigint;
BEGIN
  INSERT INTO {s}.log_ends VALUES (own_log, number)
  ON CONFLICT (log) DO UPDATE SET last = {s}.log_ends.last + number RETURNING last INTO own_last;
  INSERT INTO {s}.logs SELECT own_log, own_last - number + t.place, t.line
  FROM unnest(lines) WITH ORDINALITY AS t (line, place);
  IF (own_last / kept) > ((own_last - number) / kept) THEN
    DELETE FROM {s}.logs WHERE log = own_log AND place <= own_last - kept;
  END IF;
END $body$;

INSERT INTO {s}.meta (version, seq, floor)
SELECT {version}, (1e6 * {s}.now_s())::bigint, (1e6 * {s}.now_s())::bigint ON CONFLICT DO NOTHING;
UPDATE {s}.meta SET version = {version};
"""

VECTORS = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS {s}.vectors (
  key bytea PRIMARY KEY REFERENCES {s}.entries ON DELETE CASCADE, partition bytea NOT NULL, embedder bytea NOT NULL,
  vector vector NOT NULL);
CREATE INDEX IF NOT EXISTS vectors_place ON {s}.vectors (partition, embedder);

CREATE OR REPLACE FUNCTION {s}.put_vector(own_key bytea, numbers vector) RETURNS void LANGUAGE sql AS $body$
  INSERT INTO {s}.vectors SELECT key, partition, embedder, numbers FROM {s}.entries WHERE key = own_key
  ON CONFLICT (key) DO UPDATE SET embedder = excluded.embedder, vector = excluded.vector
$body$;

CREATE OR REPLACE FUNCTION {s}.put_searched(
  own_key bytea, own_partition bytea, own_embedder bytea, own_question bytea, own_vector bytea, own_body bytea,
  own_groups bytea[], own_size bigint, own_expires double precision, now_used double precision,
  most bigint, most_bytes bigint, lfu boolean,
  touched bytea[], times double precision[], counts bigint[], numbers vector) RETURNS int LANGUAGE plpgsql AS $body$
DECLARE
  evicted int := {s}.put(own_key, own_partition, own_embedder, own_question, own_vector, own_body, own_groups, own_size,
    own_expires, now_used, most, most_bytes, lfu, touched, times, counts);
BEGIN
  PERFORM {s}.put_vector(own_key, numbers);
  RETURN evicted;
END $body$;

CREATE OR REPLACE FUNCTION {s}.revise_searched(own_key bytea, own_vector bytea, own_embedder bytea, numbers vector)
RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
  PERFORM {s}.revise(own_key, own_vector, own_embedder);
  PERFORM {s}.put_vector(own_key, numbers);
END $body$;
"""
"""What a server needs besides, if it is to search: its own type of vectors, and a narrow table that is scanned by partition."""

STATEMENTS = {
    "is_made": "SELECT (to_regclass('{s}.meta') IS NOT NULL)::int",
    "version": "SELECT version FROM {s}.meta",
    "has_vectors": "SELECT (to_regclass('{s}.vectors') IS NOT NULL)::int",
    "get": "SELECT key, body, vector, embedder FROM {s}.entries WHERE key = %b",
    "get_many": "SELECT key, body, vector, embedder FROM {s}.entries WHERE key = ANY (%b)",
    "keys": "SELECT key FROM {s}.entries WHERE groups @> %s",
    "put": "SELECT {s}.put(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
    "put_searched": "SELECT {s}.put_searched(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %b::vector)",
    "put_vector": "SELECT {s}.put_vector(%s, %b::vector)",
    "vectorless": "SELECT key, vector FROM {s}.entries e WHERE vector IS NOT NULL AND length(vector) <= 32000"
    " AND NOT EXISTS (SELECT 1 FROM {s}.vectors v WHERE v.key = e.key) LIMIT 200",
    "touch": "SELECT {s}.touch(%s, %s, %s)",
    "delete": "SELECT {s}.drop_some(%s)",
    "revise": "SELECT {s}.revise(%s, %s, %s)",
    "revise_searched": "SELECT {s}.revise_searched(%s, %s, %s, %b::vector)",
    "size": "SELECT m.entries, m.bytes FROM {s}.purge(), {s}.meta m",
    "clear": "SELECT {s}.clear()",
    "poll": "SELECT own_seq, own_floor FROM {s}.poll()",
    "gone": "SELECT key FROM {s}.gone WHERE change > %s",
    "live": "SELECT change, key, partition, question, vector, embedder FROM {s}.entries"
    " WHERE vector IS NOT NULL AND change > %s ORDER BY change LIMIT %s",
    "nearest": "SELECT v.key, e.question, v.far FROM (SELECT key, vector <#> %b::vector AS far FROM {s}.vectors"
    " WHERE partition = %s AND embedder = %s ORDER BY far LIMIT %s) v JOIN {s}.entries e USING (key)"
    " WHERE e.expires IS NULL OR e.expires > {s}.now_s() ORDER BY v.far",
    "append": "SELECT {s}.append(%s, %s, %s)",
    "read": "SELECT place, line FROM {s}.logs WHERE log = %s AND place > %s ORDER BY place LIMIT %s",
    "last": "SELECT last FROM {s}.log_ends WHERE log = %s",
    "acquire": "INSERT INTO {s}.locks AS l VALUES (%s, %s, {s}.now_s() + %s) ON CONFLICT (key) DO UPDATE"
    " SET token = excluded.token, expires = excluded.expires WHERE l.expires <= {s}.now_s() RETURNING 1",
    "release": "DELETE FROM {s}.locks WHERE key = %s AND token = %s",
}
"""What is asked, by name."""


def written(schema: str, kept_removals: int) -> dict[str, bytes]:
    """All statements for one schema, besides `"tables"` and `"vectors"`, which make what the others need.

    Args:
        schema: Its name, of letters, digits and underscores.
        kept_removals: Removed keys that the change feed remembers.
    """
    named = {**STATEMENTS, "vectors": VECTORS, "tables": TABLES}
    values = {"{s}": schema, "{kept}": str(kept_removals), "{version}": str(VERSION)}
    for sign, value in values.items():
        named = {name: text.replace(sign, value) for name, text in named.items()}
    return {name: text.encode() for name, text in named.items()}
