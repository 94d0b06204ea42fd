"""Images in folders: ``train/<class>/`` and ``val/<class>/``."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edgewidth.data.fitting import default_resolution, fit
from edgewidth.data.sources import RawData, Split
from edgewidth.errors import DataError
from edgewidth.resolution import sides
from edgewidth.tasks.classification.task import Classification

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.progress import Progress
    from edgewidth.resolution import Resolution

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
DEEP_MODES = frozenset({"I", "I;16", "I;16B"})
"""How Pillow calls 16-bit grey; converting it to 8 bits would cut it off."""
GREY_MODES = frozenset({"1", "L", "LA"}) | DEEP_MODES
MEMORY_SHARE = 0.5
"""How much of the machine's memory decoded images may take; they are kept there as uint8."""


def read_folder(path: Path, resolution: Resolution | None, progress: Progress) -> RawData:
    """``train/<class>/*.jpg`` and ``val/<class>/*.jpg``, ``.png`` too; grey if every image is.

    Every file is decoded once, by threads, and kept as uint8 at ``resolution``; None: see ``default_resolution``.

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
    size = sides(resolution or default_resolution(_typical_side(files)))
    _check_memory(path, len(files), size)
    images = _decode_all(files, size, progress)
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


def _check_memory(path: Path, count: int, size: tuple[int, int]) -> None:
    needed = count * math.prod(size) * 3
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory * MEMORY_SHARE:
        raise DataError(
            f"The {count} images of {path} need {needed / 2**30:.1f} GiB at {size[0]}×{size[1]} pixels; "
            f"this machine has {memory / 2**30:.1f} GiB, of which images may take half.",
            remedy="Use a lower `resolution`, fewer images, or a machine with more memory.",
        )


def _decode_all(files: list[Path], size: tuple[int, int], progress: Progress) -> NDArray[np.uint8]:
    # Pillow decodes without holding the interpreter, so threads use every core.
    workers = min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool, progress.task("Reading images", len(files)) as task:
        channels = 1 if all(pool.map(_is_grey, files)) else 3
        images = np.empty((len(files), *size, channels), np.uint8)

        def decode(index: int) -> None:
            images[index] = _decode(files[index], size, channels)

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


def _decode(file: Path, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    with _open(file) as image:
        try:
            mode = "L" if channels == 1 else "RGB"
            # A JPEG larger than needed is decoded at a half, a quarter or an eighth, which is several times faster. It
            # may be turned afterwards.
            image.draft(mode, (2 * max(size), 2 * max(size)))
            upright = ImageOps.exif_transpose(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{file} is damaged: {error}.", remedy="Replace or remove the file.") from error
        return fit(_eight_bits(upright).convert(mode), size)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode not in DEEP_MODES:
        return image
    return Image.fromarray(np.rint(np.asarray(image, np.float64) * (255 / 65535)).clip(0, 255).astype(np.uint8))
