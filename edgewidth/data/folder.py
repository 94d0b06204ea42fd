"""Images in folders: ``train/<class>/`` and ``val/<class>/``."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from edgewidth.data.decoding import decode, is_grey, reading, shorter_side
from edgewidth.data.fitting import default_resolution
from edgewidth.data.listing import Listed, class_folders, list_images
from edgewidth.data.sources import RawData, Split
from edgewidth.errors import DataError
from edgewidth.resolution import sides
from edgewidth.tasks.classification.task import Classification

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edgewidth.progress import Progress
    from edgewidth.resolution import Resolution

T = TypeVar("T")
MEMORY_SHARE = 0.5
"""How much of the machine's memory decoded images may take; they are kept there as uint8."""


def read_folder(path: Path, resolution: Resolution | None, progress: Progress, *, skip_bad: bool = False) -> RawData:
    """The images of ``train/<class>/`` and ``val/<class>/``, and of folders in these; grey if every image is.

    Every file is decoded once, by threads, and kept as uint8 at ``resolution``; None: see ``default_resolution``.
    With ``skip_bad`` files that cannot be read or are no images are left out, which is said; otherwise the first of
    them is an error.

    Raises:
        DataError: A folder is missing or empty, a class is unknown, a file is not a readable image, or all
            images together are too many for this machine's memory.
    """
    class_names = tuple(class_folders(path / "train"))
    unknown = sorted(set(class_folders(path / "val")) - set(class_names))
    if unknown:
        raise DataError(
            f"{path / 'val'} has the class {unknown[0]!r}, which {path / 'train'} lacks.",
            remedy="Add images of it for training, or take its folder away.",
        )
    train, val = (list_images(path / part, class_names, skip_bad=skip_bad) for part in ("train", "val"))
    if left_out := [*train.left_out, *val.left_out]:
        progress.say(f"{_files(len(left_out))} that systems leave in folders, such as {left_out[0]}, left out.")
    if strangers := [*train.strangers, *val.strangers]:
        progress.say(f"{_files(len(strangers))} without the ending of an image left out, such as {strangers[0]}.")
    with reading():
        images, kept = _Reader(path, [*train.files, *val.files], progress, skip_bad=skip_bad).read(resolution)
    task, first = Classification(class_names), len(train.files)
    whole = [(train, images[: kept[:first].sum()], kept[:first]), (val, images[kept[:first].sum() :], kept[first:])]
    splits = [Split(some, np.array(listed.labels, np.int64)[mask]) for listed, some, mask in whole]
    _check_classes(train, splits[0], class_names, path)
    return RawData(splits[0], splits[1], task)


def _check_classes(train: Listed, left: Split, class_names: tuple[str, ...], path: Path) -> None:
    lost = sorted(set(train.labels) - set(left.targets.tolist()))
    if lost:
        raise DataError(
            f"None of the images in {path / 'train' / class_names[lost[0]]} can be read.",
            remedy="Put images of the class there, or remove the folder.",
        )


class _Bad(NamedTuple):
    """A file that cannot be read, and why."""

    place: int
    error: DataError


class _Reader:
    """Reads files in threads, and knows which of them could not be read."""

    def __init__(self, path: Path, files: list[Path], progress: Progress, *, skip_bad: bool) -> None:
        self._path, self._files, self._progress, self._skip_bad = path, files, progress, skip_bad
        self._bad: list[_Bad] = []

    def read(self, resolution: Resolution | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The images (n, height, width, channels) that can be read, and for each file whether it can."""
        places = range(len(self._files))
        size = sides(resolution or default_resolution(self._typical_side()))
        self._check_memory(size)
        # Pillow decodes without holding the interpreter, so threads use every core.
        workers = min(16, len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(workers) as pool, self._progress.task("Reading images", len(self._files)) as task:
            channels = 1 if all(pool.map(lambda place: self._tried(place, is_grey, otherwise=True), places)) else 3
            images = np.empty((len(self._files), *size, channels), np.uint8)

            def read(place: int) -> None:
                if (image := self._tried(place, lambda file: decode(file, size, channels), otherwise=None)) is not None:
                    images[place] = image

            for _ in pool.map(read, places):
                task.advance()
        kept = np.ones(len(self._files), bool)
        kept[[one.place for one in self._bad]] = False
        if not kept.all():
            first = min(self._bad, key=lambda one: one.place)
            self._progress.say(
                f"{_files(int((~kept).sum()))} that cannot be read left out, the first of them: {first.error.message}"
            )
        return (images if kept.all() else images[kept]), kept

    def _tried(self, place: int, read: Callable[[Path], T], *, otherwise: T) -> T:
        try:
            return read(self._files[place])
        except DataError as error:
            if not self._skip_bad:
                raise
            self._bad.append(_Bad(place, error))
            return otherwise

    def _typical_side(self) -> float:
        """The median shorter side of a hundred images, from their headers."""
        some = range(0, len(self._files), max(1, len(self._files) // 100))
        found = [self._tried(place, shorter_side, otherwise=0) for place in some]
        self._bad.clear()  # they are told when all are read
        return float(np.median([side for side in found if side] or [1]))

    def _check_memory(self, size: tuple[int, int]) -> None:
        needed = len(self._files) * math.prod(size) * 3
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > memory * MEMORY_SHARE:
            raise DataError(
                f"The {len(self._files)} images of {self._path} need {needed / 2**30:.1f} GiB at {size[0]}×{size[1]} "
                f"pixels; this machine has {memory / 2**30:.1f} GiB, of which images may take half.",
                remedy="Use a lower `resolution`, fewer images, or a machine with more memory.",
            )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
