"""Processes that train together, as ``torchrun`` starts them: who this one is, and what they tell each other.

One process is the usual case; everything here then does nothing and loads nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from edgewidth.errors import MissingPackageError, TrainingError

if TYPE_CHECKING:
    from torch import Tensor

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Processes:
    """The processes of one training, seen by the one with this ``index`` of ``count``.

    All of them call the methods below in the same order; each raises TrainingError where another has ended.
    """

    index: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.index == 0

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            from accelerate import PartialState  # noqa: PLC0415  only where there are several

            with _others():
                PartialState().wait_for_everyone()

    def on_first(self, work: Callable[[], object]) -> None:
        """Let the first do ``work``, such as writing a file, while the others wait for it."""
        if self.is_first:
            work()
        self.wait()

    def average(self, values: Tensor) -> None:
        """Replace ``values`` by their mean over the processes."""
        if self.count > 1:
            from torch import distributed  # noqa: PLC0415

            with _others():
                distributed.all_reduce(values)
            values /= self.count

    def map(self, work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """``work`` on every item, shared out by turns; all results, in the items' order, on every process."""
        found = [work(item) for item in items[self.index :: self.count]]
        if self.count > 1:
            from accelerate.utils import gather_object  # noqa: PLC0415

            with _others():
                gathered = gather_object([found])
            found = [gathered[place % self.count][place // self.count] for place in range(len(items))]
        return found


ALONE = Processes()


def part(size: int, index: int, count: int) -> slice:
    """One of ``count`` parts of ``size`` things in a row; parts follow each other and differ by one at most."""
    return slice(index * size // count, (index + 1) * size // count)


def are_several() -> bool:
    """Whether this process was started as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Processes:
    """Meet the other processes, or those met before; alone when there are none.

    Raises:
        MissingPackageError: There are others, and Accelerate is not installed.
        TrainingError: The others cannot be reached.
    """
    if not are_several():
        return ALONE
    import torch  # noqa: PLC0415  one process alone needs neither

    try:
        from accelerate import PartialState  # noqa: PLC0415
    except ImportError as error:
        raise MissingPackageError("accelerate", extra="train", purpose="Training with several processes") from error
    with _others():
        state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes)


class Threads(NamedTuple):
    """How many threads each process computes on, and how many cores of this machine there are for each."""

    used: int
    fair: int


def cpu_threads() -> Threads | None:
    """The threads of the processes on this machine; None: a GPU computes."""
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return None
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Threads(torch.get_num_threads(), max(1, len(os.sched_getaffinity(0)) // here))


def fails_first() -> bool:
    """Whether no other process has failed before this one, which then tells the user: one error, one message.

    When one process ends, the others lose their connections to it, and fail a moment later for that reason alone.
    """
    if not are_several():
        return True
    from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]  # noqa: PLC0415

    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=10))
        return bool(store.add(f"edgewidth/failed/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", 1) == 1)
    except (KeyError, DistError):
        return True  # better twice than never


@contextmanager
def _others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch raises whenever a message does not get through
        raise TrainingError(
            "Another process of this training has ended, or cannot be reached.",
            remedy="Look for its message above. The same command goes on from the last checkpoint.",
        ) from error


_FULL = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def as_full_gpu(error: Exception) -> TrainingError | None:
    """What to tell of ``error`` if it is torch's of a GPU that is full; None: it is another one."""
    torch = sys.modules.get("torch")  # where nobody has loaded it, nothing of it was raised
    # Its own allocator has a class for that; the driver and the libraries below it only say it.
    says_so = isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)
    if torch is None or not (isinstance(error, torch.OutOfMemoryError) or says_so):
        return None
    return TrainingError(
        "The GPU has too little free memory for this.",
        remedy="End what else uses it, give a lower `resolution`, or compute without it: "
        "CUDA_VISIBLE_DEVICES= edgewidth …",
    )
