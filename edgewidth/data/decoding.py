"""One image file as pixels: the right way up, without opacity, in 8 bits."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from edgewidth.data.fitting import fit
from edgewidth.data.listing import FORMATS
from edgewidth.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

DEEP_MODES = frozenset({"I", "I;16", "I;16B"})
"""How Pillow calls 16-bit grey; converting it to 8 bits would cut it off."""
GREY_MODES = frozenset({"1", "L", "LA"}) | DEEP_MODES
MOST_PIXELS = 180_000_000
"""An image of more pixels is not decoded: it may be made to fill the memory. A JPEG is decoded at a fraction."""
MOST_JPEG_PIXELS = 1_000_000_000
JPEG = frozenset({"JPEG", "MPO"})
"""What Pillow calls JPEGs: one in which a phone has put further pictures, such as a preview, is an MPO to it."""
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is turned upright, by what its camera wrote into the EXIF tag ``ORIENTATION``."""
REMEDY = "Replace or remove the file, or leave out all such files: `skip_bad`."


@contextmanager
def reading() -> Iterator[None]:
    """While it lasts, Pillow warns of nothing, and sizes are ours to judge; for all threads, so not for one of them."""
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def shorter_side(file: Path) -> int:
    """Of an image, from its header.

    Raises:
        DataError: It cannot be read.
    """
    with _open(file) as image:
        return min(image.size)


def is_grey(file: Path) -> bool:
    """Whether an image has no colours, from its header.

    Raises:
        DataError: It cannot be read.
    """
    with _open(file) as image:
        return image.mode in GREY_MODES


def decode(file: Path, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """The largest central part of the proportions of ``size``, scaled to it: (height, width, channels).

    Raises:
        DataError: It cannot be read, or has too many pixels.
    """
    mode = "L" if channels == 1 else "RGB"
    with _open(file) as image:
        most = MOST_JPEG_PIXELS if image.format in JPEG else MOST_PIXELS
        pixels = image.width * image.height
        # A JPEG larger than needed is decoded at a half, a quarter or an eighth, which is several times faster. It
        # may be turned afterwards.
        image.draft(mode, (2 * max(size), 2 * max(size)))
        if pixels > most or image.width * image.height > MOST_PIXELS:
            most = most if pixels > most else MOST_PIXELS
            raise DataError(
                f"{file} has {pixels / 1e6:.0f} million pixels; at most {most / 1e6:.0f} million are read.",
                remedy=REMEDY,
            )
        try:
            return fit(_flat(_upright(image), mode), size)
        except Exception as error:
            raise DataError(f"{file} is damaged: {_reason(error)}.", remedy=REMEDY) from error


def _open(file: Path) -> Image.Image:
    try:
        return Image.open(file, formats=tuple(FORMATS))
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise DataError(f"{file} is no {known} image, whatever its name says.", remedy=REMEDY) from error
    except Exception as error:
        raise DataError(f"{file} could not be read: {_reason(error)}.", remedy=REMEDY) from error


def _reason(error: Exception) -> str:
    """Why a decoder gave up. Each of them raises what it likes, AVIF's a RuntimeError, and some without a word."""
    return str(error) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera was held; what else stands in the EXIF, readable or not, does not matter."""
    try:
        turned = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow raises whatever the damaged tag leads to
        return image
    return image if turned is None else image.transpose(turned)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """In ``mode``, on white where it lets something through, as pages and viewers show it."""
    if image.mode in DEEP_MODES:
        image = Image.fromarray(np.rint(np.asarray(image, np.float64) * (255 / 65535)).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert(mode)
    clear = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert(mode)
