"""For the verbs that several processes of ``torchrun`` do together: one of them speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.cli.progress import TerminalProgress
from edgewidth.progress import SILENT

if TYPE_CHECKING:
    from edgewidth.progress import Progress
    from edgewidth.training.loop.processes import Processes


def meet() -> tuple[Processes, Progress]:
    """The processes, and what this one reports to: nothing, unless it is the first."""
    from edgewidth.training.loop.processes import cpu_threads, join  # noqa: PLC0415  help stays instant

    processes = join()
    if not processes.is_first:
        return processes, SILENT
    progress = TerminalProgress()
    threads = cpu_threads() if processes.count > 1 else None
    if threads and threads.used != threads.fair:
        # torchrun lets every process have one thread unless it is told otherwise.
        progress.say(
            f"Each process computes on {threads.used} threads; OMP_NUM_THREADS={threads.fair} before torchrun "
            "would suit the cores of this machine."
        )
    return processes, progress
