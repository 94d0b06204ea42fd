"""Work in several threads, and waiting, that an interrupt ends."""

from __future__ import annotations

import _thread
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from edgewidth.waiting import beside, go_on, last_words, pause, run_to_end, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_results_come_in_order() -> None:
    """However long each takes."""

    def work(number: int) -> int:
        pause(0.02 * (3 - number))
        return number**2

    assert side_by_side(work, [0, 1, 2, 3]) == [0, 1, 4, 9]
    assert side_by_side(work, []) == []


def test_a_failure_is_raised_once_all_have_ended() -> None:
    ended: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError(number)
        time.sleep(0.1)
        ended.append(number)

    with pytest.raises(ValueError, match="0"):
        side_by_side(work, [0, 1, 2])
    assert sorted(ended) == [1, 2]


def test_who_waits_gives_signs_of_life() -> None:
    """At once, so that one quick work after the other is no silence, and while one is slow."""
    beats: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())

    assert [beside(lambda number=number: number, beat) for number in range(3)] == [0, 1, 2]  # type: ignore[misc]
    assert len(beats) == 3
    beside(lambda: time.sleep(0.7), beat)
    assert max(later - earlier for earlier, later in pairwise(beats)) < 0.6
    assert len(beats) >= 5

    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        beside(fail, beat)


def test_a_program_does_not_wait_for_work_beside_it() -> None:
    program = """
import threading, time
from edgewidth.waiting import beside
threading.Thread(target=beside, args=(lambda: time.sleep(60), lambda: None), daemon=True).start()
time.sleep(0.2)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


@pytest.fixture
def _heard() -> Iterator[None]:
    """Interrupts are heard: a shell that starts tests in the background has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heard")
def test_an_interrupt_calls_all_off() -> None:
    """As Ctrl-C does: who waits, runs a program or goes step by step ends at once, its last words said."""
    ended: list[str] = []

    def work(kind: str) -> None:
        try:
            if kind == "waits":
                pause(60)
            elif kind == "runs":
                run_to_end([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=60)
            while True:
                go_on()
        except KeyboardInterrupt:
            with last_words():
                pause(0.05)
            ended.append(kind)
            raise

    begin = time.monotonic()
    threading.Timer(0.3, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, ["waits", "runs", "steps"])
    assert sorted(ended) == ["runs", "steps", "waits"]
    assert time.monotonic() - begin < 10


def test_a_program_has_a_time_limit() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_to_end([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.1)
    done = run_to_end([sys.executable, "-c", "import sys; print(1); sys.exit('two')"], timeout_s=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "1\n", "two\n")
