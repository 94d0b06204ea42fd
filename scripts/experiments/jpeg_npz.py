#!/usr/bin/env python3
"""Makes an .npz that edgewidth reads out of one that holds JPEG files end to end.

The source has, for the splits ``train`` and ``test``, ``jpeg_SPLIT`` (uint8, all files end to end),
``offsets_SPLIT`` (int64, one more than there are images), ``y_SPLIT``, and ``class_names``.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def decoded(jpeg: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
    """All images of a split: (n, height, width, channels)."""
    files = [jpeg[start:end].tobytes() for start, end in itertools.pairwise(offsets)]
    return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])


def converted(source: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """The arrays by the names that edgewidth reads."""
    found: dict[str, NDArray[np.generic]] = {"class_names": source["class_names"]}
    for split in ("train", "test"):
        jpeg = source[f"jpeg_{split}"].astype(np.uint8)
        found[f"x_{split}"] = decoded(jpeg, source[f"offsets_{split}"].astype(np.int64))
        found[f"y_{split}"] = source[f"y_{split}"]
    return found


def main() -> int:
    """Read one file, write the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    with np.load(options.source, allow_pickle=False) as source:
        arrays = converted({name: source[name] for name in source.files})
    np.savez(options.target, **arrays)  # type: ignore[arg-type]  # its keywords are arrays, but for one it knows
    print({name: array.shape for name, array in arrays.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
