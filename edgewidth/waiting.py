"""Waiting, and work in several threads, that Ctrl-C ends at once.

Python interrupts the main thread alone. Work that runs side by side in others is called off instead: where it waits,
there it ends, with a ``KeyboardInterrupt`` of its own, and cleans up behind it as the main thread would.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")
POLL_S = 0.25
"""How often whoever waits for something else looks whether the work was called off."""
_GRACE_S = 10.0
"""How long work that was called off may take to clean up."""
_CALLED_OFF: ContextVar[threading.Event | None] = ContextVar("called_off", default=None)


def pause(seconds: float) -> None:
    """Do nothing for so long.

    Raises:
        KeyboardInterrupt: The work of this thread was called off.
    """
    called_off = _CALLED_OFF.get()
    if called_off is None:
        time.sleep(seconds)
    elif called_off.wait(seconds):
        raise KeyboardInterrupt


def go_on() -> None:
    """Nothing, unless the work of this thread was called off: then ``KeyboardInterrupt``."""
    pause(0.0)


def run_to_end(
    command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of ours to its end; what it prints is kept, its exit status is the caller's business.

    Raises:
        subprocess.TimeoutExpired: It took longer; it is killed.
        KeyboardInterrupt: The work of this thread was called off; it is killed.
    """
    deadline = time.monotonic() + timeout_s
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # an interrupt from the keyboard is ours to handle
    ) as process:
        try:
            while True:
                try:
                    stdout, stderr = process.communicate(timeout=POLL_S)
                except subprocess.TimeoutExpired:
                    go_on()
                    if time.monotonic() > deadline:
                        raise
                else:
                    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        finally:
            process.kill()  # does nothing if it has ended


@contextmanager
def last_words() -> Iterator[None]:
    """A block that is done to its end although the work was called off; it sees to its own time limit."""
    token = _CALLED_OFF.set(None)
    try:
        yield
    finally:
        _CALLED_OFF.reset(token)


def beside(work: Callable[[], _R], beat: Callable[[], None]) -> _R:
    """What ``work`` returns, which a thread of its own does; ``beat`` is called before it and now and then meanwhile.

    A program that ends does not wait for that thread.

    Raises:
        BaseException: What ``work`` or ``beat`` raised.
    """
    future: Future[_R] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, which raises it
            future.set_exception(error)

    beat()
    threading.Thread(target=do, daemon=True).start()
    while True:
        try:
            return future.result(timeout=POLL_S)
        except TimeoutError:
            if future.done():
                raise
            beat()


def side_by_side(work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    """What ``work`` returns for each item, in a thread of its own for each.

    Raises:
        BaseException: What it raised for the first item for which it did, once all have ended.
        KeyboardInterrupt: All were called off, and had some seconds to clean up.
    """
    called_off = threading.Event()
    results: dict[int, _R] = {}
    failures: dict[int, BaseException] = {}

    def one(number: int) -> None:
        _CALLED_OFF.set(called_off)
        try:
            results[number] = work(items[number])
        except BaseException as error:  # noqa: BLE001 - told to the main thread, which raises it
            failures[number] = error
        finally:
            ends[number].set()

    # Not by joining the threads: an interrupted join takes them for ended.
    ends = [threading.Event() for _ in items]
    for number in range(len(items)):
        threading.Thread(target=one, args=(number,), daemon=True).start()
    try:
        for end in ends:
            while not end.wait(POLL_S):
                pass
    except KeyboardInterrupt:
        called_off.set()
        deadline = time.monotonic() + _GRACE_S
        for end in ends:
            end.wait(max(0.0, deadline - time.monotonic()))
        raise
    for number in sorted(failures):
        raise failures[number]
    return [results[number] for number in range(len(items))]
