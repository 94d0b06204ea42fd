"""A run folder belongs to one request and to one program at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgewidth.errors import InfeasibleBudgetError, InputError, MismatchError
from edgewidth.files import remove_parts
from edgewidth.records.provenance import differences
from edgewidth.records.run import RunRequest
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.ledger import everything, remove

if TYPE_CHECKING:
    from edgewidth.training.loop.processes import Processes

_TRIES = 20
"""So often the lock is tried where it went between opening and locking it."""


@contextmanager
def locked(path: Path) -> Iterator[RunFolder]:
    """The folder, made if it is missing, for this program alone.

    Raises:
        InputError: It cannot be made, written or locked, or another edgewidth is at work in it.
    """
    with _lock(path):
        folder = RunFolder(path)
        remove_parts(folder.path)
        remove_parts(folder.checkpoints)
        try:
            yield folder
        finally:
            (path / ".lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.rmdir()  # only what is empty goes: nothing was begun in it


def _lock(path: Path) -> IO[str]:
    """The folder's lock, held until it is closed; the file goes while it is held.

    Whoever opened the file before it went holds a lock that nobody else sees: that one must try again.
    """
    for _ in range(_TRIES):
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / ".lock").open("w")
        except FileNotFoundError:  # who was here before has just removed the folder, which was empty
            continue
        except OSError as error:
            raise InputError(
                f"The run folder {path} cannot be written: {error.strerror}.", remedy="Choose another `out`."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), (path / ".lock").stat()):
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError:
            lock.close()
            break
        except OSError as error:  # such as a network's disk without a service for locks
            lock.close()
            raise InputError(
                f"The run folder {path} cannot be locked: {error.strerror}.",
                remedy="Choose another `out`, on a disk of this machine.",
            ) from error
        lock.close()
    raise InputError(f"Another edgewidth is at work in {path}.", remedy="Wait for it, or choose another `out`.")


@contextmanager
def locked_by_first(path: Path, processes: Processes) -> Iterator[RunFolder]:
    """The folder for the processes of one training: the first locks it for all of them, and the others wait for that.

    Raises:
        InputError: As ``locked``, in the first.
        TrainingError: In the others, when the first has failed.
    """
    with locked(path) if processes.is_first else contextlib.nullcontext(RunFolder(path)) as folder:
        processes.wait()
        yield folder


@contextmanager
def claimed(folder: RunFolder, request: RunRequest, *, force: bool, needed: Sequence[Path] = ()) -> Iterator[None]:
    """The folder as this request's: written down in ``run.json``, or the same as what stands there.

    Where what other verbs left in it turns out to be of something else, it is as unclaimed as before. Where nothing
    meets the budget, too: what was measured is as good for another budget.

    Raises:
        MismatchError: It holds another run and ``force`` is not set.
        InputError: ``force`` would remove one of ``needed``, files that the run reads.
    """
    goes_on = folder.run.exists() and not force
    if goes_on:
        check_claim(folder, request)
    else:
        if force:
            remove(*everything(folder), needed=needed)
        request.write(folder.run)
    try:
        yield
    except InfeasibleBudgetError:
        remove(folder.run)
        raise
    except MismatchError:
        if not goes_on:
            remove(folder.run)
        raise


def check_claim(folder: RunFolder, request: RunRequest) -> None:
    """Whether the folder holds nothing, or this very run.

    Raises:
        MismatchError: It holds another one.
        FileError: What stands there cannot be read.
    """
    if not folder.run.exists():
        return
    if found := differences(request.made_of, RunRequest.read(folder.run).made_of):
        raise MismatchError(
            f"{folder.path} holds another run: {'; '.join(one.since for one in found)}.",
            remedy="Choose another `out`, or `force` to start again over it.",
        )
