"""Images and labels in memory: those that train, those that search, those that judge methods, those that validate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.data.sources import RawData, read_arrays, read_digits, read_folder, read_npz
from edgewidth.errors import DataError
from edgewidth.progress import SILENT
from edgewidth.records.run import DataFacts
from edgewidth.streams import Purpose, stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from edgewidth.progress import Progress

HELD_SHARE = 0.1
"""How much of the training images is kept out for the search, and as much again to judge what it found …"""
SEARCH_MOST, JUDGE_MOST = 2000, 3000
"""… and how many at most: the standard error of a difference between configurations is small by then."""
FEWEST_TRAIN = 8
"""Below this batch normalisation has nothing to normalise with."""


class Split(NamedTuple):
    """Images (n, height, width, channels) uint8 and labels (n,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class ImageData:
    """What networks are trained on, searched on and judged by: four different sets of images.

    ``train`` trains, ``search`` compares configurations, ``judge`` compares methods, being seen by neither training
    nor search; ``val`` is the source's own validation or test set, for the accuracy of what is emitted alone.
    Images are uint8 (n, height, width, channels), channels 1 or 3; labels are int64 (n,), indices of
    ``class_names``.
    """

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_search: NDArray[np.uint8]
    y_search: NDArray[np.int64]
    x_judge: NDArray[np.uint8]
    y_judge: NDArray[np.int64]
    x_val: NDArray[np.uint8]
    y_val: NDArray[np.int64]
    class_names: tuple[str, ...]
    fingerprint: str
    source: str

    def sample(self, most: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """At most so many training images, in random order: sources may be sorted by class."""
        return self.x_train[rng.permutation(len(self.x_train))[:most]]

    @property
    def in_channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.x_train.shape[3])

    @property
    def resolution(self) -> int:
        """Pixels along each side."""
        return int(self.x_train.shape[1])


def load_images(
    source: str | Mapping[str, ArrayLike], *, resolution: int | None, seed: int, progress: Progress = SILENT
) -> ImageData:
    """Read a data source at a resolution; ``seed`` decides which training images are kept out of training.

    Args:
        source: ``digits``; the path of an ``.npz`` with ``x_train, y_train, x_test, y_test``; or a folder
            ``train/<class>/`` and ``val/<class>/`` of ``.jpg`` and ``.png`` files; or arrays by the names of the
            ``.npz``: images uint8 (n, height, width[, 1 or 3]), labels whole numbers (n,).
        resolution: Pixels along each side; other images are cropped to a square and scaled. None: the multiple of
            32 that the images themselves reach, 96 at most.
        seed: Of the split.
        progress: Where to report to.

    Raises:
        DataError: The source is missing or cannot be used as it is.
    """
    if isinstance(source, str):
        raw = _read(source, resolution, progress)
    else:
        arrays = {name: np.asarray(array) for name, array in source.items()}
        source = "arrays"
        raw = read_arrays(arrays, source, resolution, progress)
    _check(raw, source)
    rng = stream(seed, Purpose.SPLIT)
    train = np.ones(len(raw.y_train), bool)
    search = _held_out(raw.y_train, train, SEARCH_MOST, rng)
    judge = _held_out(raw.y_train, train & ~search, JUDGE_MOST, rng)
    train &= ~(search | judge)
    if train.sum() < FEWEST_TRAIN:
        raise DataError(
            f"{source} has {len(raw.y_train)} training images; too few to train on and keep some for the search.",
            remedy="Use dozens of images per class at least.",
        )
    return ImageData(
        x_train=raw.x_train[train],
        y_train=raw.y_train[train],
        x_search=raw.x_train[search],
        y_search=raw.y_train[search],
        x_judge=raw.x_train[judge],
        y_judge=raw.y_train[judge],
        x_val=raw.x_val,
        y_val=raw.y_val,
        class_names=raw.class_names,
        fingerprint=_fingerprint(raw),
        source=source,
    )


def data_facts(data: ImageData) -> DataFacts:
    """What a run records of its images."""
    return DataFacts(
        source=data.source,
        fingerprint=data.fingerprint,
        class_names=data.class_names,
        train=len(data.y_train),
        search=len(data.y_search),
        judge=len(data.y_judge),
        validation=len(data.y_val),
    )


def _read(source: str, resolution: int | None, progress: Progress) -> RawData:
    if source == "digits":
        return read_digits(resolution)
    path = Path(source)
    if path.is_dir():
        return read_folder(path, resolution, progress)
    if path.suffix == ".npz" and path.is_file():
        return read_npz(path, resolution, progress)
    if not path.exists():
        raise DataError(f"The data source {source} does not exist.", remedy=_SOURCES)
    raise DataError(f"{source} is not a data source.", remedy=_SOURCES)


_SOURCES = "Give digits, a folder with train/<class>/ and val/<class>/, or an .npz file."


def _check(raw: RawData, source: str) -> None:
    if len(raw.y_train) == 0 or len(raw.y_val) == 0:
        part = "training" if len(raw.y_train) == 0 else "validation"
        raise DataError(
            f"{source} has no {part} images.",
            remedy="Put images into train/<class>/ and val/<class>/, or into x_train and x_test.",
        )
    if len(raw.class_names) < 2:
        raise DataError(
            f"{source} has one class only, {raw.class_names[0]!r}; there is nothing to tell apart.",
            remedy="Add a second class, such as images with nothing of the first.",
        )


def _held_out(
    labels: NDArray[np.int64], free: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A mask of ``HELD_SHARE`` of all images, ``most`` at most, among the ``free`` ones, from every class alike.

    Each class keeps one at least; the part has one at least.
    """
    share = min(HELD_SHARE, most / len(labels))
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(free & (labels == label)))
        mask[members[: max(0, min(round((labels == label).sum() * share), len(members) - 1))]] = True
    if not mask.any():
        mask[rng.permutation(np.flatnonzero(free))[: max(1, round(len(labels) * share))]] = True
    return mask


def _fingerprint(raw: RawData) -> str:
    digest = hashlib.sha256()
    for array in (raw.x_train, raw.y_train, raw.x_val, raw.y_val):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update("\n".join(raw.class_names).encode())
    return digest.hexdigest()[:16]
