"""A run folder belongs to one request and to one program at a time."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgewidth.errors import InputError, MismatchError
from edgewidth.records.run import RunRequest
from edgewidth.stages.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgewidth.training.loop.processes import Processes

_MEANT = (
    "space",
    "data",
    "device",
    "runtime",
    "precision",
    "threads",
    "budget",
    "statistic",
    "recipe",
    "narrowing",
    "max_int8_drop_points",
    "seed",
)
"""What makes two requests the same run; the command's wording and package versions may differ."""


@contextmanager
def locked(path: Path) -> Iterator[RunFolder]:
    """The folder, made if it is missing, for this program alone.

    Raises:
        InputError: It cannot be made or written, or another edgewidth is at work in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("w")
    except OSError as error:
        raise InputError(
            f"The run folder {path} cannot be written: {error.strerror}.", remedy="Choose another --out."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"Another edgewidth is at work in {path}.", remedy="Wait for it, or choose another --out."
            ) from error
        try:
            yield RunFolder(path)
        finally:
            (path / ".lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.rmdir()  # only what is empty goes: nothing was begun in it


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

    Where what other verbs left in it turns out to be of something else, it is as unclaimed as before.

    Raises:
        MismatchError: It holds another run and ``force`` is not set.
        InputError: ``force`` would remove one of ``needed``, files that the run reads.
    """
    if folder.run.exists() and not force:
        differences = _differences(request, RunRequest.read(folder.run))
        if differences:
            raise MismatchError(
                f"{folder.path} holds another run: {'; '.join(differences)}.",
                remedy="Choose another --out, or --force to start again over it.",
            )
        yield
        return
    if force:
        # The raw measurements stay: they are keyed by what they are of.
        for path in needed:
            _check_spared(path, folder.results)
        remove(*folder.results)
    request.write(folder.run)
    try:
        yield
    except MismatchError:
        remove(folder.run)
        raise


def remove(*paths: Path, needed: Path | None = None) -> None:
    """Remove what a stage wrote so that it is done again.

    Raises:
        InputError: ``needed``, a file that the stage reads, is among them.
    """
    if needed is not None:
        _check_spared(needed, paths)
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _check_spared(needed: Path, paths: Sequence[Path]) -> None:
    if needed.resolve() in {path.resolve() for path in paths}:
        raise InputError(f"--force would remove {needed}, which is needed.", remedy="Choose another --out.")


def _differences(asked: RunRequest, found: RunRequest) -> list[str]:
    # The same images by another path are the same.
    same_images = asked.data.fingerprint == found.data.fingerprint
    return [
        _difference(name, asked, found)
        for name in _MEANT
        if getattr(asked, name) != getattr(found, name) and not (name == "data" and same_images)
    ]


def _difference(name: str, asked: RunRequest, found: RunRequest) -> str:
    if name == "data" and asked.data.source == found.data.source:
        return f"the images of {asked.data.source} have changed"
    return f"{name} was {_brief(getattr(found, name))}, now {_brief(getattr(asked, name))}"


def _brief(value: object) -> str:
    from edgewidth.graph.space import SearchSpace  # noqa: PLC0415
    from edgewidth.records.run import DataFacts  # noqa: PLC0415

    if isinstance(value, SearchSpace):
        return f"{value.network.family} at {value.network.resolution_text} px ({value.fingerprint})"
    return value.source if isinstance(value, DataFacts) else str(value)
