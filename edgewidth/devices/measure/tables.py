"""The tables of a store of measurements, and how those of older versions become these."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgewidth.records.measurement import Setting
from edgewidth.records.upgrades import name_engine

if TYPE_CHECKING:
    import sqlite3

SCHEMA_VERSION = 5
_SCHEMA = """
CREATE TABLE settings (id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE);
CREATE TABLE visits (
    id INTEGER PRIMARY KEY, setting INTEGER NOT NULL REFERENCES settings(id), visit TEXT NOT NULL,
    model TEXT NOT NULL, round INTEGER NOT NULL, started_s REAL NOT NULL, warmup_ns BLOB NOT NULL,
    runs_ns BLOB NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, own_s REAL, disturbed TEXT,
    slow_above_ns REAL, session TEXT NOT NULL DEFAULT '', load_ns INTEGER, ran TEXT,
    UNIQUE (setting, visit));
CREATE TABLE sessions (
    setting INTEGER PRIMARY KEY REFERENCES settings(id), folder TEXT NOT NULL, position INTEGER NOT NULL,
    owner TEXT NOT NULL);
CREATE TABLE warnings (
    setting INTEGER NOT NULL REFERENCES settings(id), code TEXT NOT NULL, message TEXT NOT NULL,
    remedy TEXT NOT NULL, UNIQUE (setting, code))
"""


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables of an older version, 0 for a new file, to this one."""
    if version == 0:
        for statement in _SCHEMA.split(";"):  # not executescript, which would end the transaction
            connection.execute(statement)
    if version == 1:
        connection.execute("ALTER TABLE blocks ADD COLUMN slow_above_ns REAL")
    if version in {1, 2}:  # visits were called blocks, and settings had no engine
        connection.execute("ALTER TABLE blocks RENAME TO visits")
    if version in {1, 2, 3}:
        connection.execute("ALTER TABLE visits ADD COLUMN session TEXT NOT NULL DEFAULT ''")
    if version in {1, 2, 3, 4}:
        connection.execute("ALTER TABLE visits ADD COLUMN load_ns INTEGER")
        connection.execute("ALTER TABLE visits ADD COLUMN ran TEXT")
        # A setting is found by its text, which has every field.
        for row, text in connection.execute("SELECT id, json FROM settings").fetchall():
            content = json.loads(text)
            if version in {1, 2}:
                name_engine(content, content["runtime_version"])
            setting = Setting.model_validate_json(json.dumps(content)).model_dump_json()
            connection.execute("UPDATE settings SET json = ? WHERE id = ?", (setting, row))
