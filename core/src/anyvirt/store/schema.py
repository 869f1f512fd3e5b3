"""The tables of a SQLite store, and how an older one is brought up to them."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = 2
# The oldest schema whose writers may still write what this one reads. It rises only
# when a change is not additive; an older anyvirt then stops with StoreNewer.
OLDEST_WRITER: Final = 2

TABLES: Final = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE object(
        id INTEGER PRIMARY KEY,
        driver TEXT NOT NULL,
        kind TEXT NOT NULL,
        uuid TEXT NOT NULL,
        name TEXT NOT NULL,
        transient INTEGER NOT NULL DEFAULT 0,
        autostart INTEGER NOT NULL DEFAULT 0,
        run TEXT NOT NULL DEFAULT '',
        boot TEXT NOT NULL DEFAULT '',
        at REAL NOT NULL,
        UNIQUE(driver, kind, name),
        UNIQUE(driver, kind, uuid))""",
    # Beside the object, so that a list of names reads few pages; the gist comes first, so that it is read without
    # the pages that a document goes on in.
    "CREATE TABLE document(object INTEGER PRIMARY KEY, gist TEXT NOT NULL DEFAULT '', xml TEXT NOT NULL)",
    """CREATE TABLE blob(
        driver TEXT NOT NULL,
        kind TEXT NOT NULL,
        ref TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY(driver, kind, ref, key)) WITHOUT ROWID""",
    """CREATE TABLE counter(
        driver TEXT NOT NULL,
        kind TEXT NOT NULL,
        boot TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY(driver, kind)) WITHOUT ROWID""",
    "CREATE TABLE job(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, record TEXT NOT NULL)",
    """CREATE TABLE event(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        run TEXT NOT NULL,
        ref TEXT NOT NULL,
        kind TEXT NOT NULL,
        detail TEXT NOT NULL)""",
)

# schema -> the statements that lead from it to the next one
STEPS: Final[dict[int, tuple[str, ...]]] = {
    1: ("ALTER TABLE document ADD COLUMN gist TEXT NOT NULL DEFAULT ''",),  # whose writers would leave an old gist
}
