"""The tables of a store on disk, and what is asked of them.

Entries are in diskcache's own table `Cache`, each as JSON without its vector; triggers of diskcache's count them and their
bytes in `Settings`. Every change has a number. An entry's `rowid` is the number of the change that stored it, and so is its
row's in `Frugal_feed`, which holds what an index wants to know. `Frugal_gone` has the numbers of removals, of late.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from frugal_core.cache.stores.base import Changes
from frugal_core.errors import StoreError

Execute: TypeAlias = Callable[..., sqlite3.Cursor]

TOLD_KEPT = 50_000
"""Changes after which those who have not followed begin anew."""

LATEST = "SELECT max((SELECT ifnull(max(number), 0) FROM Frugal_feed), (SELECT ifnull(max(number), 0) FROM Frugal_gone))"
HELD = "SELECT (SELECT value FROM Settings WHERE key = 'count'), (SELECT value FROM Settings WHERE key = 'size')"
ROW = "SELECT rowid FROM Cache WHERE key = ? AND raw = 1"
FIND = (
    "SELECT mode, filename, value, vector FROM Cache LEFT JOIN Frugal_feed ON number = Cache.rowid"
    " WHERE Cache.key = ? AND raw = 1"
)
SCAN = (
    "SELECT Cache.rowid, Cache.key, raw, mode, filename, value, vector FROM Cache"
    " LEFT JOIN Frugal_feed ON number = Cache.rowid"
    " WHERE Cache.rowid > ? AND Cache.rowid <= ? AND (expire_time IS NULL OR expire_time > ?){}"
    " ORDER BY Cache.rowid LIMIT ?"
)
CANDIDATES = {
    "lru": "SELECT rowid, key, size FROM Cache WHERE rowid != ? ORDER BY access_time, rowid LIMIT 64",
    "lfu": "SELECT rowid, key, size FROM Cache WHERE rowid != ? ORDER BY access_count, access_time, rowid LIMIT 64",
}
EXPIRED = "SELECT rowid, key FROM Cache WHERE expire_time <= ? LIMIT 10000"
INSERT_ENTRY = (
    "INSERT INTO Cache(rowid, key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value)"
    " VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)"
)
INSERT_FEED = f"INSERT INTO Frugal_feed SELECT ({LATEST}) + 1, ?, ?, ?, ?, ?"
NOTE_USE = "UPDATE Cache SET access_time = max(access_time, ?), access_count = access_count + ? WHERE key = ? AND raw = 1"
NEWS = (
    "SELECT number, key FROM Frugal_feed WHERE number > ? UNION ALL SELECT number, key FROM Frugal_gone WHERE number > ?"
    " LIMIT ?"
)
CHANGED = (
    "SELECT number, key, partition, question, vector, embedder FROM Frugal_feed WHERE number > ?"
    " UNION ALL SELECT number, key, NULL, NULL, NULL, NULL FROM Frugal_gone WHERE number > ?"
)
READ_LINES = "SELECT number, line FROM Frugal_log WHERE log = ? AND number > ? ORDER BY number"
DELETE_OLD_LINES = (
    "DELETE FROM Frugal_log WHERE log = ?1 AND number <="
    " (SELECT number FROM Frugal_log WHERE log = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)"
)
TAKE_LOCK = (
    "INSERT INTO Frugal_lock(key, owner, until_s) VALUES (?, ?, ?)"
    " ON CONFLICT(key) DO UPDATE SET owner = excluded.owner, until_s = excluded.until_s WHERE until_s <= ?"
)
GIVE_LOCK = "DELETE FROM Frugal_lock WHERE key = ? AND owner = ?"
DELETE_OLD_LOCKS = "DELETE FROM Frugal_lock WHERE until_s <= ?"

_TABLES = (
    "CREATE TABLE IF NOT EXISTS Frugal_feed(number INTEGER PRIMARY KEY, key TEXT, partition TEXT, question TEXT, vector BLOB,"
    " embedder TEXT)",
    "CREATE TABLE IF NOT EXISTS Frugal_gone(number INTEGER PRIMARY KEY, key TEXT)",
    "CREATE TABLE IF NOT EXISTS Frugal_log(number INTEGER PRIMARY KEY AUTOINCREMENT, log TEXT, line TEXT)",
    "CREATE INDEX IF NOT EXISTS Frugal_log_lines ON Frugal_log(log, number)",
    "CREATE TABLE IF NOT EXISTS Frugal_lock(key TEXT PRIMARY KEY, owner TEXT, until_s REAL) WITHOUT ROWID",
    "INSERT OR IGNORE INTO Frugal_gone SELECT 1, '' WHERE NOT EXISTS (SELECT 1 FROM Frugal_gone)",
)
_ORDERS = {
    "lru": "CREATE INDEX IF NOT EXISTS Frugal_lru ON Cache(access_time)",
    "lfu": "CREATE INDEX IF NOT EXISTS Frugal_lfu ON Cache(access_count, access_time)",
}


_EXPIRY = "CREATE INDEX Cache_expire_time ON Cache(expire_time) WHERE expire_time IS NOT NULL"


def create_tables(sql: Execute, eviction: str) -> None:
    """Make what diskcache does not make, where it is not there yet; and its index of expiry without those that never do."""
    for statement in (*_TABLES, _ORDERS[eviction]):
        sql(statement)
    if sql("SELECT sql FROM sqlite_master WHERE name = 'Cache_expire_time'").fetchall() != [(_EXPIRY,)]:
        sql("DROP INDEX IF EXISTS Cache_expire_time")
        sql(_EXPIRY)


def insert(sql: Execute, fed: Sequence[object], stored: Sequence[object]) -> int:
    """Store an entry in place of one with its key; number of the change.

    Args:
        sql: In a transaction.
        fed: What `INSERT_FEED` takes.
        stored: What `INSERT_ENTRY` takes after the number.
    """
    number = sql(INSERT_FEED, fed).lastrowid or 0
    try:
        sql(INSERT_ENTRY, (number, *stored))
    except sqlite3.IntegrityError:  # there is one already, which is rare
        for (row,) in sql(ROW, (fed[0],)).fetchall():
            sql("DELETE FROM Cache WHERE rowid = ?", (row,))
            sql("DELETE FROM Frugal_feed WHERE number = ?", (row,))
        sql(INSERT_ENTRY, (number, *stored))
    return number


def latest(sql: Execute) -> int:
    """Number of the last change; above 0 once the tables are made."""
    ((number,),) = sql(LATEST).fetchall()
    return int(number)


def held(sql: Execute) -> tuple[int, int]:
    """Number of entries, and their bytes."""
    ((entries, taken),) = sql(HELD).fetchall()
    if type(entries) is not int or type(taken) is not int:
        raise StoreError("The cache's database is damaged: it does not know how much it holds. Delete the cache's folder.")
    return entries, taken


def remove(sql: Execute, number: int, row: int, key: object) -> None:
    """Remove an entry by its row, as the change of a number."""
    sql("DELETE FROM Cache WHERE rowid = ?", (row,))
    sql("DELETE FROM Frugal_feed WHERE number = ?", (row,))
    sql("INSERT INTO Frugal_gone VALUES (?, ?)", (number, key if type(key) is str else "?"))


def changes_of(rows: Sequence[Sequence[Any]], cursor: int, *, whole: bool) -> Changes:
    """What rows of `CHANGED` tell."""
    found = [row for row in rows if row[4]]
    _, keys, partitions, questions, vectors, embedders = zip(*found, strict=True) if found else ((),) * 6
    if set(map(type, vectors)) - {bytes} or set(map(type, (*keys, *partitions, *questions, *embedders))) - {str}:
        raise StoreError("The cache's database is damaged: what should be texts and vectors is not. Delete the cache's folder.")
    removed: set[str] = set() if whole else {row[1] for row in rows if not row[4]}.difference(keys)
    last = max((row[0] for row in rows), default=cursor)
    return Changes(max(last, cursor), keys, partitions, questions, vectors, embedders, sorted(removed), whole)
