"""Runs a program that must not outlive this one's parent.

Started as a file: ``python guard.py PROGRAM ARGUMENT…`` with a pipe as standard input. It ends the program when
the pipe closes, which the system does however the process at its other end came to die.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_GRACE_S = 3.0


def main(command: list[str]) -> int:
    """Run ``command`` until it ends or standard input does; its exit status."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        threading.Thread(target=_end_with_parent, args=(child,), daemon=True).start()
        return child.wait()


def _end_with_parent(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # nothing is ever sent; this waits for the end
        pass
    child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
