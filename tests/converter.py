"""Converts to TFLite in forks of one process that has loaded TensorFlow, which takes seconds each time.

A fork is as fresh as a process that ``edgewidth.formats.tflite.convert`` starts, and does the same work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock, Timer

SAID = "said.txt"
"""What a fork prints, in its folder; TensorFlow prints from C++ too."""


class Converter:
    """The process, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()

    def run(
        self, command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As ``edgewidth.waiting.run_to_end`` runs the converter; nothing but its time limit calls it off."""
        folder = Path(command[-1])
        with self._lock:
            code = self._ask(folder, timeout_s, environment)
        return subprocess.CompletedProcess(command, code, "", (folder / SAID).read_text(encoding="utf-8"))

    def _ask(self, folder: Path, timeout_s: float, environment: Mapping[str, str]) -> int:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(folder, file=self._process.stdin, flush=True)
        watch = Timer(timeout_s, os.killpg, (self._process.pid, signal.SIGKILL))
        watch.start()
        answer = self._process.stdout.readline()
        watch.cancel()
        assert answer, f"A conversion took more than {timeout_s:g} s, or took its process with it."
        return int(answer)

    def close(self) -> None:
        """End it; by itself it ends with the tests."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def serve() -> None:
    """Fork for every folder that is asked for, and answer with how the fork ended."""
    from edgewidth.formats.tflite import worker

    for line in sys.stdin:
        folder = Path(line.removesuffix("\n"))
        if (fork := os.fork()) == 0:
            with (folder / SAID).open("w", encoding="utf-8") as said:
                for stream in (sys.stdout, sys.stderr):
                    os.dup2(said.fileno(), stream.fileno())
            worker.main(folder)
            return
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
