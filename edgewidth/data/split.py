"""A data source in memory, split into train, search, holdout and test images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.data.folder import read_folder
from edgewidth.data.pixels import are_features
from edgewidth.data.sources import RawData, Split, read_arrays, read_digits, read_npz
from edgewidth.errors import DataError
from edgewidth.progress import SILENT
from edgewidth.records.run import DataFacts
from edgewidth.resolution import resolution_of
from edgewidth.streams import Purpose, stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from edgewidth.data.pixels import Inputs
    from edgewidth.progress import Progress
    from edgewidth.resolution import Resolution
    from edgewidth.tasks.task import Task

HELD_SHARE = 0.1
"""The share of the training images that becomes the search images; the holdout images are as many."""
SEARCH_MOST, HOLDOUT_MOST = 2000, 3000
"""How many images are kept out at most. A choice near a budget by 500 search images lost 0.0048 nats more than the best
there, by 2,000 0.0016 and by 5,000 0.0007 (``scripts/experiments/search_images.py``, Fashion-MNIST)."""
FEWEST_TRAIN = 8
"""Below this batch normalisation has nothing to normalise with."""


@dataclass(frozen=True)
class ImageData:
    """Images in memory with their targets, split into four sets that have no image in common."""

    train: Split
    """Trains."""
    search: Split
    """Compares configurations."""
    holdout: Split
    """Judges what the methods chose; neither training nor search sees it."""
    test: Split
    """The source's own test or validation set (a fixed fifth of the digits, which have none); it tells the final
    accuracy alone."""
    task: Task
    fingerprint: str
    """16 hexadecimal digits that differ when anything in the source differs; the seed of the split does not count."""
    source: str
    """As given: ``digits``, a path, or ``arrays``."""

    def sample(self, most: int, rng: np.random.Generator) -> Inputs:
        """At most so many training images, in random order: sources may be sorted by class."""
        return self.train.images[rng.permutation(len(self.train))[:most]]

    @property
    def in_channels(self) -> int:
        """1 for grey, 3 for colour; of features as many as they have."""
        return int(self.train.images.shape[3])

    @property
    def are_features(self) -> bool:
        """Whether examples are floating-point features, and no images."""
        return are_features(self.train.images)

    @property
    def resolution(self) -> Resolution:
        """Pixels, or values, along each side: one number for a square, or height and width."""
        return resolution_of(*self.train.images.shape[1:3])


def load_images(
    source: str | os.PathLike[str] | Mapping[str, ArrayLike],
    *,
    resolution: Resolution | None,
    seed: int,
    skip_bad: bool = False,
    progress: Progress = SILENT,
) -> ImageData:
    """Read a data source; ``seed`` decides which training images are kept out of training.

    ``source`` is ``digits``; or the path of an ``.npz`` with ``x_train, y_train, x_test, y_test``; or a folder
    ``train/<class>/`` and ``val/<class>/`` of image files; or arrays by the names of the ``.npz``: images uint8 (n,
    height, width[, channels]), labels whole numbers or text (n,). Arrays of floating-point numbers are features, such
    as a spectrogram's, which stay as they are. With ``skip_bad`` files of a folder that cannot be read are left out.

    Images are cropped to the proportions of ``resolution`` and scaled to it; None: a square of the multiple of 32
    pixels that the images themselves reach, 96 at most.

    Raises:
        DataError: The source is missing or cannot be used as it is.
    """
    if isinstance(source, Mapping):
        arrays = {name: np.asarray(array) for name, array in source.items()}
        source = "arrays"
        raw = read_arrays(arrays, source, resolution, progress)
    else:
        source = os.fspath(source)
        raw = _read(source, resolution, progress, skip_bad=skip_bad)
    _check(raw, source)
    rng, strata = stream(seed, Purpose.SPLIT), raw.task.strata(raw.train.targets)
    train = np.ones(len(strata), bool)
    search = _held_out(strata, train, SEARCH_MOST, rng)
    holdout = _held_out(strata, train & ~search, HOLDOUT_MOST, rng)
    train &= ~(search | holdout)
    if train.sum() < FEWEST_TRAIN:
        raise DataError(
            f"{source} has {len(strata)} training images; too few to train on and keep some for the search.",
            remedy="Use dozens of images per class at least.",
        )
    data = ImageData(
        train=raw.train.part(train),
        search=raw.train.part(search),
        holdout=raw.train.part(holdout),
        test=raw.test,
        task=raw.task,
        fingerprint=_fingerprint(raw),
        source=source,
    )
    if told := data_facts(data).untested_text:
        progress.say(told)
    return data


def data_facts(data: ImageData) -> DataFacts:
    """What a run records of its images."""
    return DataFacts(
        source=data.source,
        fingerprint=data.fingerprint,
        task=data.task.name,
        class_names=data.task.output_names,
        train=len(data.train),
        search=len(data.search),
        holdout=len(data.holdout),
        test=len(data.test),
        untested=data.task.untested(data.test.targets),
    )


def _read(source: str, resolution: Resolution | None, progress: Progress, *, skip_bad: bool) -> RawData:
    if source == "digits":
        return read_digits(resolution)
    path = Path(source)
    if path.is_dir():
        return read_folder(path, resolution, progress, skip_bad=skip_bad)
    if path.suffix.lower() in {".npz", ".npy"} and path.is_file():
        return read_npz(path, resolution, progress)
    if not path.exists():
        raise DataError(f"The data source {source} does not exist.", remedy=_SOURCES)
    raise DataError(f"{source} is not a data source.", remedy=_SOURCES)


_SOURCES = "Give digits, a folder with train/<class>/ and val/<class>/, or an .npz file."


def _check(raw: RawData, source: str) -> None:
    if not len(raw.train) or not len(raw.test):
        part = "test" if len(raw.train) else "training"
        raise DataError(
            f"{source} has no {part} images.",
            remedy="Put images into train/<class>/ and val/<class>/, or into x_train and x_test.",
        )
    raw.task.check(source)


def _held_out(
    strata: NDArray[np.int64], free: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A mask of ``HELD_SHARE`` of all images, ``most`` at most, among the ``free`` ones, from every stratum alike.

    Each stratum keeps one at least; the part has one at least.
    """
    share = min(HELD_SHARE, most / len(strata))
    mask = np.zeros(len(strata), bool)
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(free & (strata == stratum)))
        mask[members[: max(0, min(round((strata == stratum).sum() * share), len(members) - 1))]] = True
    if not mask.any():
        mask[rng.permutation(np.flatnonzero(free))[: max(1, round(len(strata) * share))]] = True
    return mask


def _fingerprint(raw: RawData) -> str:
    digest = hashlib.sha256()
    for array in (raw.train.images, raw.train.targets, raw.test.images, raw.test.targets):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update("\n".join(raw.task.output_names).encode())
    return digest.hexdigest()[:16]
