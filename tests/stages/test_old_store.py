"""Measurements that version 1 stored are found again: the file is a real store, cut to two networks."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from edgewidth.graph.families.registry import search_space
from edgewidth.records.measurement import Statistic
from edgewidth.stages.bench import measured_visits, open_store

OLD = Path(__file__).parents[1] / "version_1/measurements.sqlite"
SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)


def test_an_old_store_has_its_networks(tmp_path: Path) -> None:
    """Each with the visits that the file holds, also when it is opened again."""
    path = tmp_path / OLD.name
    shutil.copy(OLD, path)
    with closing(sqlite3.connect(OLD)) as connection:
        rows = connection.execute("SELECT model, started_s FROM blocks WHERE disturbed IS NULL").fetchall()
    for _ in range(2):
        with open_store(path, SPACE) as store:
            (setting,) = store.settings()
            found = measured_visits(store, setting, SPACE, Statistic.MEDIAN)
        assert len(found) == 2
        stored = [(str(config), moment) for config, visits in found.items() for moment in visits.started_s]
        assert sorted(stored) == sorted((model.partition(":")[2], moment) for model, moment in rows)


def test_another_space_finds_nothing_there(tmp_path: Path) -> None:
    path = tmp_path / OLD.name
    shutil.copy(OLD, path)
    other = search_space("mobilenet_v1", resolution=64, in_channels=1, num_classes=10)
    with open_store(path, other) as store:
        (setting,) = store.settings()
        assert measured_visits(store, setting, other, Statistic.MEDIAN) == {}
