"""Every raw measurement, in one SQLite file that is written as the visits arrive.

Times are kept as little-endian 64-bit nanoseconds, compressed. The file may be shared: by several devices
measured side by side, by threads, and by programs. A visit has a name, and by that name it is stored once, however
often it is sent.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from edgewidth.devices.measure.tables import SCHEMA_VERSION, upgrade
from edgewidth.errors import DeviceError, FileError, StorageError
from edgewidth.records.measurement import DeviceState, MeasurementWarning, Ran, Setting, Visit

_BUSY_S = 60.0
_SURROUNDINGS = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
"""SQLite's errors that the file is no cause of; another try may help."""


class OpenSession(NamedTuple):
    """A runner's folder on the device whose output may hold more than the store: read on at ``position``."""

    folder: str
    position: int


class MeasurementStore:
    """The file ``path``; made if it is not there. Close it, or use it in a ``with`` statement.

    Raises:
        FileError: The file is something else, or of a newer edgewidth; or it is damaged, which every method may find.
        StorageError: It cannot be written; every method may raise this too, and what was stored stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
            self._prepare()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, self._errors():
            self._connection.close()

    def add(self, setting: Setting, name: str, visit: Visit) -> bool:
        """Store a visit under its name; False if it was there."""
        with self._write() as connection:
            row = self._setting(setting)
            added = connection.execute(
                "INSERT OR IGNORE INTO visits (setting, visit, model, round, started_s, warmup_ns, runs_ns, before,"
                " after, own_s, disturbed, slow_above_ns, session, load_ns, ran)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    row,
                    name,
                    visit.model,
                    visit.round,
                    visit.started_s,
                    _pack(visit.warmup_ns),
                    _pack(visit.runs_ns),
                    visit.before.model_dump_json(exclude_defaults=True),
                    visit.after.model_dump_json(exclude_defaults=True),
                    visit.own_s,
                    visit.disturbed,
                    visit.slow_above_ns,
                    visit.session,
                    visit.load_ns,
                    None if visit.ran is None else visit.ran.model_dump_json(),
                ),
            ).rowcount
        return added == 1

    def visits(self, setting: Setting) -> dict[str, list[Visit]]:
        """All visits of a setting by model, in the order in which they were measured, disturbed ones included."""
        found: dict[str, list[Visit]] = {}
        for _, visit in self.named_visits(setting):
            found.setdefault(visit.model, []).append(visit)
        return found

    def named_visits(self, setting: Setting) -> list[tuple[str, Visit]]:
        """All visits with their names, in the order in which they were measured."""
        with self._lock, self._errors():
            rows = self._connection.execute(
                "SELECT visit, model, round, started_s, warmup_ns, runs_ns, before, after, own_s, disturbed,"
                " slow_above_ns, session, load_ns, ran FROM visits JOIN settings ON settings.id = setting"
                " WHERE json = ? ORDER BY started_s, visits.id",
                (setting.model_dump_json(),),
            ).fetchall()
            return [(row[0], _visit(row[1:])) for row in rows]

    def settings(self) -> list[Setting]:
        """Every setting that was measured here."""
        with self._lock, self._errors():
            rows = self._connection.execute("SELECT json FROM settings ORDER BY id").fetchall()
            return [Setting.model_validate_json(text) for (text,) in rows]

    def rename_models(self, prefix: str, present: str) -> None:
        """Let every model whose name begins with ``prefix`` have ``present`` in its place."""
        with self._write() as connection:
            connection.execute(
                "UPDATE visits SET model = ? || substr(model, ?) WHERE substr(model, 1, ?) = ?",
                (present, len(prefix) + 1, len(prefix), prefix),
            )

    def keep_latest(self, count: int) -> None:
        """Delete all visits but the ``count`` that were stored last."""
        with self._write() as connection:
            connection.execute(
                "DELETE FROM visits WHERE id NOT IN (SELECT id FROM visits ORDER BY id DESC LIMIT ?)", (count,)
            )

    def mark(self, setting: Setting, marked: Iterable[tuple[str, Visit]]) -> None:
        """Keep the ``disturbed`` and ``slow_above_ns`` of visits, by their names."""
        with self._write() as connection:
            row = self._setting(setting)
            connection.executemany(
                "UPDATE visits SET disturbed = ?, slow_above_ns = ? WHERE setting = ? AND visit = ?",
                [(visit.disturbed, visit.slow_above_ns, row, name) for name, visit in marked],
            )

    def warn(self, setting: Setting, warnings: Sequence[MeasurementWarning]) -> None:
        """Keep the warnings of a setting; a later one of the same kind replaces the earlier."""
        with self._write() as connection:
            row = self._setting(setting)
            connection.executemany(
                "INSERT OR REPLACE INTO warnings VALUES (?, ?, ?, ?)",
                [(row, warning.code, warning.message, warning.remedy) for warning in warnings],
            )

    def warnings(self, setting: Setting) -> tuple[MeasurementWarning, ...]:
        """What made measurements of a setting less trustworthy."""
        with self._lock, self._errors():
            rows = self._connection.execute(
                "SELECT code, message, remedy FROM warnings JOIN settings ON settings.id = setting WHERE json = ?",
                (setting.model_dump_json(),),
            ).fetchall()
            return tuple(MeasurementWarning(code=code, message=text, remedy=remedy) for code, text, remedy in rows)

    def claim(self, setting: Setting) -> OpenSession | None:
        """Become the one who measures a setting; what an earlier one left open on the device.

        Raises:
            DeviceError: Another program on this machine is measuring it.
        """
        with self._write() as connection:
            row = self._setting(setting)
            found = connection.execute(
                "SELECT folder, position, owner FROM sessions WHERE setting = ?", (row,)
            ).fetchone()
            if found is not None and is_another_alive(found[2]):
                raise DeviceError(
                    being_measured(setting.device, found[2].split(":")[1]),
                    remedy="Wait until it is done; what it measures can be used here.",
                )
            if found is None:
                connection.execute("INSERT INTO sessions VALUES (?, '', 0, ?)", (row, this_process()))
                return None
            connection.execute("UPDATE sessions SET owner = ? WHERE setting = ?", (this_process(), row))
        return OpenSession(found[0], found[1]) if found[0] else None

    def open_session(self, setting: Setting, folder: str) -> None:
        """Remember a session's folder on the device before anything is started there; ``claim`` it first."""
        with self._write() as connection:
            connection.execute(
                "UPDATE sessions SET folder = ?, position = 0 WHERE setting = ?", (folder, self._setting(setting))
            )

    def advance(self, setting: Setting, position: int) -> None:
        """Remember how far the session's output is stored; read again, a visit is still stored once."""
        with self._write() as connection:
            connection.execute("UPDATE sessions SET position = ? WHERE setting = ?", (position, self._setting(setting)))

    def release(self, setting: Setting, *, finished: bool) -> None:
        """Let go of a setting; ``finished``: nothing of its session is left to be read."""
        with self._write() as connection:
            row = self._setting(setting)
            connection.execute("UPDATE sessions SET owner = '' WHERE setting = ?", (row,))
            if finished:
                connection.execute("DELETE FROM sessions WHERE setting = ?", (row,))

    def _prepare(self) -> None:
        version = self._version()
        if version > SCHEMA_VERSION:
            raise FileError(
                f"{self.path} was written by a newer edgewidth: its schema_version is {version}.",
                remedy="pip install --upgrade edgewidth",
            )
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A visit lost to a power cut is measured again; a file spoilt by one would not be.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if version < SCHEMA_VERSION:
            with self._write() as connection:
                upgrade(connection, self._version())  # asked again: another program may have come first
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self) -> int:
        version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _setting(self, setting: Setting) -> int:
        text = setting.model_dump_json()
        self._connection.execute("INSERT OR IGNORE INTO settings (json) VALUES (?)", (text,))
        row: int = self._connection.execute("SELECT id FROM settings WHERE json = ?", (text,)).fetchone()[0]
        return row

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with self._lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in _SURROUNDINGS:
                raise self._storage_error(error) from error
            if code == sqlite3.SQLITE_NOTADB:
                raise FileError(
                    f"{self.path} is not a file of measurements: {error}.",
                    remedy="Give the folder that was the `out` of edgewidth run or profile.",
                ) from error
            raise self._damaged(error) from error
        except OSError as error:
            raise self._storage_error(error.strerror) from error
        except (zlib.error, ValueError, LookupError, TypeError, AttributeError) as error:  # of what stands in its rows
            raise self._damaged(type(error).__name__) from error

    def _damaged(self, reason: object) -> FileError:
        return FileError(
            f"{self.path} is damaged: {reason}.",
            remedy="Take it from a backup, or remove it and measure again: what it held cannot be trusted.",
        )

    def _storage_error(self, reason: object) -> StorageError:
        return StorageError(
            f"{self.path} could not be written: {reason}.",
            remedy="Free space or choose another folder and start again; what was measured so far stays.",
        )


def _pack(times_ns: Sequence[int]) -> bytes:
    return zlib.compress(np.asarray(times_ns, dtype="<u8").tobytes(), 6)


def _unpack(packed: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(zlib.decompress(packed), dtype="<u8").tolist())


def _visit(row: Sequence[Any]) -> Visit:
    model, number, started_s, warmup, runs, before, after, own_s, disturbed, slow_above_ns, session, load_ns, ran = row
    return Visit(
        model=model,
        round=number,
        started_s=started_s,
        warmup_ns=_unpack(warmup),
        runs_ns=_unpack(runs),
        before=DeviceState.model_validate_json(before),
        after=DeviceState.model_validate_json(after),
        own_s=own_s,
        disturbed=disturbed,
        slow_above_ns=slow_above_ns,
        session=session,
        load_ns=load_ns,
        ran=None if ran is None else Ran.model_validate_json(ran),
    )


def being_measured(device: str, process: str) -> str:
    """That another program has a device, as a sentence."""
    return f"{device} is being measured by another program (process {process})."


def this_process() -> str:
    """The text that a claim of this process is known by."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def _started(pid: int) -> str:
    """When a process began: a number that a later process of the same id does not share; empty if it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return status.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_another_alive(owner: str) -> bool:
    """Whether another process on this machine holds a claim; one on another machine cannot be asked."""
    if not owner or owner == this_process():
        return False
    host, pid, started = owner.split(":")
    return host == socket.gethostname() and started != "" and _started(int(pid)) == started
