"""Arrays of images, or of features: what of them can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.data.pixels import are_features
from edgewidth.errors import DataError
from edgewidth.resolution import resolution_text, sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.pixels import Inputs
    from edgewidth.resolution import Resolution

RGBA = 4
FAR = 30.0
"""Features further from zero than so many of their standard deviations are told about: training rounds to 8 bits."""


def read_inputs(where: str, name: str, given: NDArray[np.generic]) -> Inputs:
    """The array ``name`` of a source: images of uint8, or features of floating-point numbers, as float32.

    Raises:
        DataError: They are neither; or pixels that were stored as floating-point numbers.
    """
    found = given[..., None] if given.ndim == 3 else given
    if found.ndim != 4 or 0 in found.shape[1:]:
        shape = "×".join(map(str, given.shape))
        raise DataError(
            f"{where}: {name} is {shape}; examples must be (n, height, width) or (n, height, width, channels).",
            remedy="Where channels come first, store x.transpose(0, 2, 3, 1).",
        )
    if np.issubdtype(found.dtype, np.floating):
        return _features(where, name, found)
    if found.dtype != np.uint8:
        raise DataError(
            f"{where}: {name} is {found.dtype}; images must be uint8, from 0 to 255, and features floating-point.",
            remedy=f"Store pixels as {_as_pixels(found)}, and features as x.astype('float32').",
        )
    if found.shape[3] == RGBA:
        raise DataError(
            f"{where}: {name} has images of 4 channels, one too many: a fourth is opacity, which no camera gives.",
            remedy="Store x[..., :3]; if the fourth is something else, store x.astype('float32') as features.",
        )
    if found.shape[3] > RGBA * 2 and found.shape[1] in {1, 3}:
        raise DataError(
            f"{where}: {name} is {'×'.join(map(str, given.shape))}: its channels come first.",
            remedy="Store x.transpose(0, 2, 3, 1).",
        )
    return found.astype(np.uint8, copy=False)


def _as_pixels(found: NDArray[np.generic]) -> str:
    """What makes pixels from 0 to 255 of numbers of another type: none of those that one byte cuts off."""
    if found.dtype.kind not in "biu" or not found.size:
        return "x.astype('uint8')"
    least, most = int(found.min()), int(found.max())
    if least < 0 or most > 255:
        return f"((x.astype('float32') - {least}) * (255 / {most - least})).round().astype('uint8')"
    return "x.astype('uint8')" if most > 1 else "x.astype('uint8') * 255"


def _features(where: str, name: str, given: NDArray[np.generic]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # it becomes infinite, which is told
        found = given.astype(np.float32)
    if not np.isfinite(found).all():
        row = int(np.argmax(~np.isfinite(found).reshape(len(found), -1).all(1)))
        raise DataError(
            f"{where}: {name} has numbers that are not finite, the first in example {row}.",
            remedy="Replace or leave out such examples.",
        )
    far = 0.25 if given.dtype.itemsize == 2 else 1e-2  # 255 times the last digit of a float16
    for scale, written in ((255.0, "(x * 255).round().astype('uint8')"), (1.0, "x.astype('uint8')")):
        if _are_pixels(found * np.float32(scale), far):
            raise DataError(
                f"{where}: {name} holds 8-bit pixels as {found.dtype}; images must be uint8, from 0 to 255.",
                remedy=f"Store {written}.",
            )
    return found


def _are_pixels(found: NDArray[np.float32], far: float) -> bool:
    """Whether they are whole numbers from 0 to 255 but for ``far``, by some hundred, and more than two or three."""
    if len(found) == 0 or found.min() < 0 or found.max() > 255.5:
        return False
    some = found[:: max(1, len(found) // 256)]
    return bool(np.abs(some - np.rint(some)).max() < far) and len(np.unique(np.rint(some))) > 3


def check_alike(where: str, train: Inputs, test: Inputs) -> None:
    """Hold the two sets of a source against each other.

    Raises:
        DataError: One has pixels and the other features, or they differ in channels, or features in size.
    """
    if are_features(train) != are_features(test):
        raise DataError(
            f"{where}: x_train is {train.dtype}, and x_test is {test.dtype}.",
            remedy="Store both as uint8, for images, or both as float32, for features.",
        )
    first = 1 if are_features(train) else 3
    if train.shape[first:] != test.shape[first:]:
        shapes = ["×".join(map(str, x.shape[first:])) for x in (train, test)]
        what = "values" if first == 1 else "channels"
        raise DataError(
            f"{where}: x_train has {shapes[0]} {what}, and x_test has {shapes[1]}.",
            remedy="Store both alike.",
        )


def keep_size(where: str, features: Inputs, resolution: Resolution | None) -> None:
    """Features are not scaled, as images are.

    Raises:
        DataError: Another ``resolution`` than theirs is wanted.
    """
    own = features.shape[1:3]
    if resolution is not None and sides(resolution) != own:
        raise DataError(
            f"{where}: its features are {'×'.join(map(str, own))}, and features are not scaled to "
            f"{resolution_text(resolution)}.",
            remedy="Leave `resolution` out.",
        )


def doubt(features: Inputs) -> str | None:
    """What makes features hard to learn from, in a sentence; None: nothing."""
    mean, std = features.mean((0, 1, 2), dtype=np.float64), features.std((0, 1, 2), dtype=np.float64)
    for channel, (centre, spread) in enumerate(zip(mean, std, strict=True)):
        if abs(centre) > FAR * spread or not 1e-2 < spread < 1e4:
            return (
                f"The features of channel {channel} are {centre:.3g} ± {spread:.3g}: networks learn badly from such "
                "numbers. Store them less their mean and divided by their standard deviation."
            )
    return None


def described(features: Inputs) -> str:
    """Their shape in words, by which one sees where channels were stored first."""
    height, width, channels = features.shape[1:]
    values = f"{height}×{width} values" if channels == 1 else f"{height}×{width} values in {channels} channels"
    if height in {1, 3} and width == channels > RGBA:
        return f"{values} (if channels come first, store x.transpose(0, 2, 3, 1))"
    return values
