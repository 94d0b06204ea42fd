"""Which pixel of an image each pixel of its variation comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pixels(NamedTuple):
    """Which row and column of an image each of its varied pixels comes from: (n, height) and (n, width)."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def of(self, part: slice) -> Pixels:
        """Those of some of the images."""
        return Pixels(self.rows[part], self.columns[part])


def draw_pixels(count: int, size: int, shift: float, rng: np.random.Generator, *, flips: bool) -> Pixels:
    """Shift each of ``count`` square images by its own whole pixels, repeating its edge, and mirror half."""
    rows, columns = (_shifted(size, count, shift, rng) for _ in range(2))
    if flips:
        mirrored = rng.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    return Pixels(rows, columns)


def _shifted(size: int, count: int, shift: float, rng: np.random.Generator) -> NDArray[np.int64]:
    most = round(size * shift)
    offsets = rng.integers(-most, most + 1, count)
    return np.asarray(np.clip(np.arange(size) + offsets[:, None], 0, size - 1), np.int64)
