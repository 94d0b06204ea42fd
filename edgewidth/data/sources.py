"""Where images come from: the digits, an ``.npz`` file, arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.data.fitting import default_resolution, fit_all
from edgewidth.data.inputs import check_alike, described, doubt, keep_size, read_inputs
from edgewidth.data.pixels import are_features
from edgewidth.errors import DataError, MissingPackageError
from edgewidth.files import ARCHIVE_ERRORS
from edgewidth.resolution import sides
from edgewidth.tasks.classification.task import Classification
from edgewidth.tasks.registry import READERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.pixels import Inputs
    from edgewidth.progress import Progress
    from edgewidth.resolution import Resolution
    from edgewidth.tasks.task import Targets, Task

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Split:
    """One of the sets that the examples of a source are split into."""

    images: Inputs
    """(n, height, width, channels): pixels, or features."""
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


def read_digits(resolution: Resolution | None) -> RawData:
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
    images = fit_all(grey[..., None], sides(resolution or default_resolution(grey.shape[1])))
    labels = bundle.target.astype(np.int64)
    # The same images test whatever the seed, so that runs compare.
    test = np.zeros(len(labels), bool)
    for label in range(10):
        test[np.flatnonzero(labels == label)[::5]] = True
    task = Classification(tuple(str(name) for name in bundle.target_names))
    whole = Split(images, labels)
    return RawData(whole.part(~test), whole.part(test), task)


def read_npz(path: Path, resolution: Resolution | None, progress: Progress) -> RawData:
    """The arrays of an ``.npz`` file, as ``read_arrays`` takes them.

    Raises:
        DataError: Not such a file, or arrays that cannot be used.
    """
    return read_arrays(_load_npz(path), str(path), resolution, progress)


def read_arrays(
    arrays: Mapping[str, NDArray[np.generic]],
    where: str,
    resolution: Resolution | None,
    progress: Progress,
    *,
    task: str = Classification.name,
) -> RawData:
    """``x_train, y_train, x_test, y_test``, and ``class_names`` if it is there; ``where`` they are from.

    Images are uint8 and scaled to ``resolution``; None: see ``default_resolution``. Floating-point numbers are
    features, and stay as they are. ``task`` is whose targets they hold.

    Raises:
        DataError: An array is missing, of a wrong type or length, or has an unknown label; features are wanted at
            another size than theirs.
    """
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"{where} lacks the array {missing[0]}.", remedy=f"It must hold {', '.join(ARRAYS)}.")
    x_train, x_test = (read_inputs(where, name, arrays[name]) for name in ("x_train", "x_test"))
    check_alike(where, x_train, x_test)
    targets = READERS[task](where, arrays)
    for part, images, own in (("train", x_train, targets.train), ("test", x_test, targets.test)):
        if len(images) != len(own):
            raise DataError(
                f"{where}: x_{part} has {len(images)} images, and y_{part} has {len(own)} labels.",
                remedy="Give one label for each image, in the same order.",
            )
    if are_features(x_train):
        keep_size(where, x_train, resolution)
        progress.say(doubt(x_train) or f"{where} has features of {described(x_train)}, taken as they are.")
        return RawData(Split(x_train, targets.train), Split(x_test, targets.test), targets.task)
    size = sides(resolution or default_resolution(min(x_train.shape[1:3])))
    with progress.task("Scaling images", None):
        fitted = (fit_all(x.astype(np.uint8, copy=False), size) for x in (x_train, x_test))
        train, test = map(Split, fitted, (targets.train, targets.test))
    return RawData(train, test, targets.task)


def _load_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    remedy = f"Write it with numpy.savez(path, {', '.join(f'{name}=…' for name in ARRAYS)}), no objects."
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} is one array, as .npy files are, and no .npz of several.", remedy=remedy)
        with archive:
            return {name: archive[name] for name in (*ARRAYS, "class_names") if name in archive.files}
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path} is not a readable .npz file: {error}.", remedy=remedy) from error
