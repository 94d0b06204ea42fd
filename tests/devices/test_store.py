"""The file of raw measurements."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edgewidth.devices.measure.store import MeasurementStore, OpenSession
from edgewidth.errors import DeviceError, FileError, StorageError
from edgewidth.records.measurement import DeviceState, Engine, MeasurementWarning, Precision, Runtime, Setting, Visit

if TYPE_CHECKING:
    from pathlib import Path

SETTING = Setting(
    device="a",
    hardware="b",
    engine=Engine(runtime=Runtime.LITERT),
    runtime_version="2.3.0",
    threads=1,
    precision=Precision.INT8,
)


def visit(model: str = "8", number: int = 0, **changes: object) -> Visit:
    return Visit.model_validate(
        {
            "model": model,
            "round": number,
            "started_s": 1e9 + number,
            "warmup_ns": (300, 200),
            "runs_ns": tuple(range(1, 50)),
            "before": DeviceState(temperature_c=40.5, throttled=("throttled",), governor="ondemand"),
            "after": DeviceState(temperature_c=41.0),
            "own_s": 0.25,
        }
        | changes
    )


def test_gives_back_what_was_put(tmp_path: Path) -> None:
    """Every field of a visit survives, also in a store that was closed and opened again."""
    visits = [visit(number=0), visit(number=1, disturbed="it rained"), visit("16", 5, session="session-1")]
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        for each in visits:
            assert store.add(SETTING, f"{each.round}@{each.model}", each)
            assert not store.add(SETTING, f"{each.round}@{each.model}", each), "stored once"
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        assert store.visits(SETTING) == {"8": visits[:2], "16": visits[2:]}
        assert store.settings() == [SETTING]


def test_visits_without_a_session_are_read(tmp_path: Path) -> None:
    """As version 3 stored them."""
    path = tmp_path / "m.sqlite"
    with MeasurementStore(path) as store:
        store.add(SETTING, "0@8", visit(session="session-1"))
    with sqlite3.connect(path) as connection:
        columns = ("session", "load_ns", "ran")
        connection.executescript(";".join(f"ALTER TABLE visits DROP COLUMN {name}" for name in columns))
        setting = json.loads(SETTING.model_dump_json())
        del setting["engine"]["backend"]
        connection.execute("UPDATE settings SET json = ?", (json.dumps(setting),))
        connection.execute("PRAGMA user_version = 3")
    with MeasurementStore(path) as store:
        assert store.visits(SETTING) == {"8": [visit()]}


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        for number in range(5):
            store.add(SETTING, f"{number}@8", visit(number=number))
        store.keep_latest(2)
        assert store.visits(SETTING) == {"8": [visit(number=3), visit(number=4)]}


def test_settings_do_not_mix(tmp_path: Path) -> None:
    """Another thread count is another setting, with visits of its own under the same names."""
    other = SETTING.model_copy(update={"threads": 4})
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        store.add(SETTING, "0@8", visit())
        assert store.visits(other) == {}
        assert store.add(other, "0@8", visit())


def test_marks_what_was_disturbed(tmp_path: Path) -> None:
    """What is found out later changes the mark and nothing else."""
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        store.add(SETTING, "0@8", visit())
        marked = visit(disturbed="slow stretch", slow_above_ns=1.5)
        store.mark(SETTING, [("0@8", marked)])
        assert store.visits(SETTING)["8"] == [marked]


def test_keeps_warnings(tmp_path: Path) -> None:
    """Of one kind, the latest."""
    old, new = (MeasurementWarning(code="other-load", message=text, remedy="r") for text in ("old", "new"))
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        store.warn(SETTING, [old])
        store.warn(SETTING, [new])
        assert store.warnings(SETTING) == (new,)


def test_a_session_left_open_is_found(tmp_path: Path) -> None:
    """Folder and position survive the program; a finished session is forgotten."""
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        assert store.claim(SETTING) is None
        store.open_session(SETTING, "/dev/folder")
        store.advance(SETTING, 1234)
        store.release(SETTING, finished=False)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        assert store.claim(SETTING) == OpenSession("/dev/folder", 1234)
        store.release(SETTING, finished=True)
        assert store.claim(SETTING) is None


def _add_many(path: Path, name: int, count: int) -> None:
    with MeasurementStore(path) as store:
        for i in range(count):
            store.add(SETTING, f"{i}@{name}", visit(str(name), i))
            store.add(SETTING, f"{i}@shared", visit("shared", i))


def test_many_programs_may_write(tmp_path: Path) -> None:
    """Four processes write at once, partly the same visits: nothing is lost, nothing is doubled."""
    path = tmp_path / "m.sqlite"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_many, args=(path, name, 40)) for name in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    with MeasurementStore(path) as store:
        counts = {model: len(visits) for model, visits in store.visits(SETTING).items()}
    assert counts == dict.fromkeys(["0", "1", "2", "3", "shared"], 40)


def _claim(path: Path, connection: multiprocessing.connection.Connection) -> None:
    with MeasurementStore(path) as store:
        store.claim(SETTING)
        connection.send("claimed")
        connection.poll(60)


def test_two_programs_do_not_measure_the_same(tmp_path: Path) -> None:
    """While one measures a setting another is refused; when it was killed its claim is void."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    program = context.Process(target=_claim, args=(tmp_path / "m.sqlite", theirs))
    program.start()
    assert ours.poll(60)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        with pytest.raises(DeviceError, match="another program"):
            store.claim(SETTING)
        program.kill()
        program.join()
        store.claim(SETTING)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """What was stored stays, the error has a remedy, and with space again it goes on."""
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        store.add(SETTING, "0@8", visit())
        [pages] = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        rough = tuple(hash((i, "noise")) % 10**9 + 1 for i in range(20_000))
        with pytest.raises(StorageError, match="full"):
            store.add(SETTING, "1@8", visit(number=1, runs_ns=rough))
        assert store.visits(SETTING)["8"] == [visit()]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
        assert store.add(SETTING, "1@8", visit(number=1, runs_ns=rough))


def test_another_file_is_refused(tmp_path: Path) -> None:
    """A file that is no store, one of a newer version, and a folder that cannot be made."""
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(FileError, match="not a file of measurements"):
        MeasurementStore(tmp_path / "text")
    with sqlite3.connect(tmp_path / "new") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(FileError, match="newer edgewidth"):
        MeasurementStore(tmp_path / "new")
    with pytest.raises(StorageError):
        MeasurementStore(tmp_path / "text" / "m.sqlite")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE warnings",
        "ALTER TABLE visits DROP COLUMN own_s",
        "UPDATE visits SET runs_ns = x'00ff'",
        "UPDATE visits SET before = '{'",
        "UPDATE visits SET started_s = 'late'",
        "UPDATE visits SET model = CAST(x'ff' AS TEXT)",
        "UPDATE settings SET json = '[]'",
        "UPDATE sessions SET owner = 'somebody'",
    ],
)
def test_damage_is_told_wherever_it_is(tmp_path: Path, statement: str) -> None:
    """By each method that meets it, as damage and not as a disk that another try may help."""
    path = tmp_path / "m.sqlite"
    with MeasurementStore(path) as store:
        store.add(SETTING, "0@8", visit())
        store.claim(SETTING)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)

    def everything() -> None:
        with MeasurementStore(path) as store:
            [setting] = store.settings()
            store.visits(setting), store.warnings(setting), store.claim(setting)

    with pytest.raises(FileError, match=r"m\.sqlite is damaged") as caught:
        everything()
    assert "measure again" in (caught.value.remedy or "")


def test_lost_pages_are_told(tmp_path: Path) -> None:
    """Each page overwritten in turn: the whole is read as it was, without what was lost, or told to be damaged."""
    path = tmp_path / "m.sqlite"
    rough = tuple(hash((i, "noise")) % 10**9 + 1 for i in range(400))
    stored = [visit(number=number, runs_ns=rough) for number in range(20)]
    with MeasurementStore(path) as store:
        for one in stored:
            store.add(SETTING, f"{one.round}@8", one)
    whole, told = path.read_bytes(), 0
    for at in range(0, len(whole), 4096):
        path.write_bytes(whole[:at] + b"\xff" * 4096 + whole[at + 4096 :])
        try:
            with MeasurementStore(path) as store:
                found = store.visits(SETTING).get("8", [])
        except FileError:
            told += 1
        else:
            assert all(one in stored for one in found)
    assert told > len(whole) // 4096 // 2
