"""Where images come from: the digits, an ``.npz`` file, a folder of images."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edgewidth.errors import DataError, MissingPackageError
from edgewidth.tasks.classification.task import Classification
from edgewidth.tasks.registry import READERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.progress import Progress
    from edgewidth.tasks.task import Targets, Task

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
DEEP_MODES = frozenset({"I", "I;16", "I;16B"})
"""How Pillow calls 16-bit grey; converting it to 8 bits would cut it off."""
GREY_MODES = frozenset({"1", "L", "LA"}) | DEEP_MODES
MEMORY_SHARE = 0.5
"""How much of the machine's memory decoded images may take; they are kept there as uint8."""


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


def default_resolution(side: float) -> int:
    """The multiple of 32 that images of this shorter side reach, 96 at most: beyond it a processor trains for days."""
    return min(96, 32 * max(1, math.ceil(side / 32)))


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
    images = _fit_all(grey[..., None], resolution or default_resolution(grey.shape[1]))
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
            Split(_fit_all(x_train, resolution), targets.train),
            Split(_fit_all(x_test, resolution), targets.test),
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


def read_folder(path: Path, resolution: int | None, progress: Progress) -> RawData:
    """``train/<class>/*.jpg`` and ``val/<class>/*.jpg``, ``.png`` too; grey if every image is.

    Every file is decoded once, by threads, and kept as uint8 at ``resolution``.

    Raises:
        DataError: A folder is missing or empty, a class is unknown, a file is not a readable image, or all
            images together are too many for this machine's memory.
    """
    class_names = _class_folders(path / "train")
    unknown = sorted(set(_class_folders(path / "val")) - set(class_names))
    if unknown:
        raise DataError(
            f"{path / 'val'} has the class {unknown[0]!r}, which {path / 'train'} lacks.",
            remedy="Add images of it for training, or take its folder away.",
        )
    files, labels, counts = [], [], []
    for part in ("train", "val"):
        found = _image_files(path / part, class_names)
        files += [file for file, _ in found]
        labels += [label for _, label in found]
        counts.append(len(found))
    resolution = resolution or default_resolution(_typical_side(files))
    _check_memory(path, len(files), resolution)
    images = _decode_all(files, resolution, progress)
    y, first = np.array(labels, np.int64), counts[0]
    task = Classification(class_names)
    return RawData(Split(images[:first], y[:first]), Split(images[first:], y[first:]), task)


def _class_folders(path: Path) -> tuple[str, ...]:
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist.", remedy="A data folder holds train/<class>/*.jpg and val/<class>/*.jpg."
        )
    names = tuple(sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if not names:
        raise DataError(
            f"{path} is empty: it has no class folders.", remedy="Put the images of each class in a folder of its own."
        )
    return names


def _image_files(path: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    found = []
    for label, name in enumerate(class_names):
        folder = path / name
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        files = [file for file in files if not file.name.startswith(".")]
        strangers = [file for file in files if file.suffix.lower() not in SUFFIXES]
        if strangers:
            raise DataError(
                f"{strangers[0]} is not a .jpg or .png image.", remedy="Leave nothing but images in the class folders."
            )
        if not files and path.name == "train":
            raise DataError(f"{folder} has no images.", remedy="Put images of the class there, or remove the folder.")
        found += [(file, label) for file in files]
    return found


def _typical_side(files: list[Path]) -> float:
    """The median shorter side of a hundred images, from their headers."""
    sides = []
    for file in files[:: max(1, len(files) // 100)]:
        with _open(file) as image:
            sides.append(min(image.size))
    return float(np.median(sides))


def _check_memory(path: Path, count: int, resolution: int) -> None:
    needed = count * resolution**2 * 3
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory * MEMORY_SHARE:
        raise DataError(
            f"The {count} images of {path} need {needed / 2**30:.1f} GiB at {resolution} pixels; "
            f"this machine has {memory / 2**30:.1f} GiB, of which images may take half.",
            remedy="Use a lower `resolution`, fewer images, or a machine with more memory.",
        )


def _decode_all(files: list[Path], resolution: int, progress: Progress) -> NDArray[np.uint8]:
    # Pillow decodes without holding the interpreter, so threads use every core.
    workers = min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool, progress.task("Reading images", len(files)) as task:
        channels = 1 if all(pool.map(_is_grey, files)) else 3
        images = np.empty((len(files), resolution, resolution, channels), np.uint8)

        def decode(index: int) -> None:
            images[index] = _decode(files[index], resolution, channels)

        for _ in pool.map(decode, range(len(files))):
            task.advance()
    return images


def _is_grey(file: Path) -> bool:
    with _open(file) as image:
        return image.mode in GREY_MODES


def _open(file: Path) -> Image.Image:
    try:
        return Image.open(file, formats=("JPEG", "PNG"))
    except UnidentifiedImageError as error:
        raise DataError(
            f"{file} is not a JPEG or PNG image, whatever its name says.", remedy="Convert or remove the file."
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} could not be read: {error}.", remedy="Replace or remove the file.") from error


def _decode(file: Path, resolution: int, channels: int) -> NDArray[np.uint8]:
    with _open(file) as image:
        try:
            mode = "L" if channels == 1 else "RGB"
            # A JPEG larger than needed is decoded at a half, a quarter or an eighth, which is several times faster.
            image.draft(mode, (2 * resolution, 2 * resolution))
            upright = ImageOps.exif_transpose(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{file} is damaged: {error}.", remedy="Replace or remove the file.") from error
        return _fit(_eight_bits(upright).convert(mode), resolution)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode not in DEEP_MODES:
        return image
    return Image.fromarray(np.rint(np.asarray(image, np.float64) * (255 / 65535)).clip(0, 255).astype(np.uint8))


def _fit_all(images: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    if images.shape[1:3] == (resolution, resolution):
        return np.ascontiguousarray(images)
    fitted = np.empty((len(images), resolution, resolution, images.shape[3]), np.uint8)
    for index, image in enumerate(images):
        fitted[index] = _fit(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), resolution)
    return fitted


def _fit(image: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """The largest central square, scaled: (resolution, resolution, channels)."""
    fitted = np.asarray(ImageOps.fit(image, (resolution, resolution), Image.Resampling.BILINEAR))
    return fitted[..., None] if fitted.ndim == 2 else fitted
