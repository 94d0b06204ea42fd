"""Where images come from: the digits, an ``.npz`` file, arrays."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.data.fitting import default_resolution, fit_all
from edgewidth.errors import DataError, MissingPackageError
from edgewidth.tasks.classification.task import Classification
from edgewidth.tasks.registry import READERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.progress import Progress
    from edgewidth.tasks.task import Targets, Task

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Split:
    """One of the sets that the examples of a source are split into."""

    images: NDArray[np.uint8]
    """(n, height, width, channels), channels 1 or 3."""
    targets: Targets
    """(n, …), as the task stores them."""

    def __len__(self) -> int:
        return len(self.images)

    def part(self, mask: NDArray[np.bool_]) -> Split:
        """The images at which ``mask`` (n,) is true."""
        return Split(self.images[mask], self.targets[mask])


class RawData(NamedTuple):
    """A source as it was read, at the wanted resolution, split as it is there."""

    train: Split
    test: Split
    task: Task


def read_digits(resolution: int | None) -> RawData:
    """scikit-learn's 1,797 handwritten digits of 8×8 pixels, enlarged; every fifth of a class tests.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise MissingPackageError("scikit-learn", extra="train", purpose="The digits data source") from error
    bundle = load_digits()
    # The pixels are counts from 0 to 16.
    grey = np.rint(bundle.images * (255 / 16)).astype(np.uint8)
    images = fit_all(grey[..., None], resolution or default_resolution(grey.shape[1]))
    labels = bundle.target.astype(np.int64)
    # The same images test whatever the seed, so that runs compare.
    test = np.zeros(len(labels), bool)
    for label in range(10):
        test[np.flatnonzero(labels == label)[::5]] = True
    task = Classification(tuple(str(name) for name in bundle.target_names))
    whole = Split(images, labels)
    return RawData(whole.part(~test), whole.part(test), task)


def read_npz(path: Path, resolution: int | None, progress: Progress) -> RawData:
    """The arrays of an ``.npz`` file, as ``read_arrays`` takes them.

    Raises:
        DataError: Not such a file, or arrays that cannot be used.
    """
    return read_arrays(_load_npz(path), str(path), resolution, progress)


def read_arrays(
    arrays: Mapping[str, NDArray[np.generic]],
    where: str,
    resolution: int | None,
    progress: Progress,
    *,
    task: str = Classification.name,
) -> RawData:
    """``x_train, y_train, x_test, y_test``, and ``class_names`` if it is there; ``where`` they are from.

    ``task`` is whose targets they hold.

    Raises:
        DataError: An array is missing, of a wrong type or length, or has an unknown label.
    """
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"{where} lacks the array {missing[0]}.", remedy=f"It must hold {', '.join(ARRAYS)}.")
    x_train, x_test = (_images(where, name, arrays[name]) for name in ("x_train", "x_test"))
    if x_train.shape[3] != x_test.shape[3]:
        raise DataError(
            f"{where}: x_train has {x_train.shape[3]} channels, and x_test has {x_test.shape[3]}.",
            remedy="Store both as grey, with 1 channel, or both as colour, with 3.",
        )
    targets = READERS[task](where, arrays)
    for part, images, own in (("train", x_train, targets.train), ("test", x_test, targets.test)):
        if len(images) != len(own):
            raise DataError(
                f"{where}: x_{part} has {len(images)} images, and y_{part} has {len(own)} labels.",
                remedy="Give one label for each image, in the same order.",
            )
    resolution = resolution or default_resolution(min(x_train.shape[1:3]))
    with progress.task("Scaling images", None):
        return RawData(
            Split(fit_all(x_train, resolution), targets.train),
            Split(fit_all(x_test, resolution), targets.test),
            targets.task,
        )


def _load_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in (*ARRAYS, "class_names") if name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} is not a readable .npz file: {error}.",
            remedy=f"Write it with numpy.savez(path, {', '.join(f'{name}=…' for name in ARRAYS)}), no objects.",
        ) from error


def _images(where: str, name: str, given: NDArray[np.generic]) -> NDArray[np.uint8]:
    images = given
    if images.dtype != np.uint8:
        raise DataError(
            f"{where}: {name} is {images.dtype}; images must be uint8, from 0 to 255.",
            remedy="If its values run from 0 to 1, store (x * 255).round().astype('uint8').",
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in {1, 3} or 0 in images.shape[1:3]:
        shape = "×".join(map(str, given.shape))
        raise DataError(
            f"{where}: {name} is {shape}; images must be (n, height, width) or (n, height, width, 1 or 3).",
            remedy="Where channels come first, store x.transpose(0, 2, 3, 1).",
        )
    return images.astype(np.uint8, copy=False)
