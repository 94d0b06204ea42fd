"""Ctrl-C at the command line: all ends within seconds, what was measured is kept, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NETWORK = """
from torch import nn

def make(num_classes):
    return nn.Sequential(nn.Conv2d(1, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 900, num_classes))
"""


def visits(store: Path) -> int:
    """How many visits a store holds, also while another program writes to it."""
    if not store.exists():
        return 0
    with closing(sqlite3.connect(store)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM visits").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


SITE = """import os, signal, sys
from importlib.abc import MetaPathFinder
class Interrupt(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize("module", ["edgewidth.cli.main", "click", "edgewidth.cli.wording"])
def test_an_interrupt_while_it_loads_is_quiet(tmp_path: Path, module: str) -> None:
    """However it was started, and whatever is being loaded; where it is to be ignored, it is."""
    (tmp_path / "sitecustomize.py").write_text(SITE)
    entry = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]["edgewidth"]
    name, _, function = entry.partition(":")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{PROJECT.parent}", "INTERRUPTED_AT": module}
    for words in (["-m", "edgewidth"], ["-c", f"from {name} import {function}; {function}()"]):
        start = [sys.executable, *words, "--version"]
        done = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
        ignored = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *start]
        done = subprocess.run(ignored, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So that what is measured is converted for the first test alone."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_devices_are_stopped_at_once(tmp_path: Path, cache: Path, number: signal.Signals) -> None:
    """By a signal to the whole group, as a terminal sends it, and by one to the program alone."""
    profiles, temporary = tmp_path / "profiles", tmp_path / "tmp"
    profiles.mkdir()
    temporary.mkdir()
    for name in ("one", "two"):
        (profiles / f"{name}.toml").write_text(f'transport = "local"\nworkdir = "{tmp_path / name}"\n')
    (tmp_path / "own.py").write_text(NETWORK)
    words = [
        "profile",
        "--profiles",
        str(profiles),
        "--device",
        "one",
        "--device",
        "two",
        "--out",
        str(tmp_path / "out"),
    ]
    words += ["--network", f"{tmp_path / 'own.py'}:make", "--target-error", "0.001%"]
    environment = os.environ | {"TMPDIR": str(temporary), "EDGEWIDTH_CACHE": str(cache)}
    program = subprocess.Popen(
        [sys.executable, "-m", "edgewidth", *words],
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stores = [tmp_path / "out" / name / "measurements.sqlite" for name in ("one", "two")]
    deadline = time.monotonic() + 120
    while program.poll() is None and time.monotonic() < deadline and not all(visits(store) for store in stores):
        time.sleep(0.1)
    assert program.poll() is None, program.communicate()[1]
    before = [visits(store) for store in stores]
    began = time.monotonic()
    if number is signal.SIGINT:
        os.killpg(program.pid, number)
    else:
        program.send_signal(number)
    _, said = program.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert program.returncode == 130
    assert said.strip().splitlines()[-2:] == ["Error: Interrupted.", "  → The same command goes on from here."]
    assert "Traceback" not in said
    assert all(visits(store) >= count > 0 for store, count in zip(stores, before, strict=True))
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor")] == []
    assert [path for name in ("one", "two") for path in (tmp_path / name).iterdir()] == []
