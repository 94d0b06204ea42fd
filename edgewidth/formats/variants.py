"""Variants: any configuration of a search space as a runnable file, in milliseconds instead of a conversion."""

from __future__ import annotations

import hashlib
import importlib.metadata
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InputError, StorageError
from edgewidth.files import write_atomic
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights
from edgewidth.formats.registry import FORMATS
from edgewidth.progress import SILENT
from edgewidth.version import __version__

if TYPE_CHECKING:
    from edgewidth.formats.format import Format, Layout
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import FormatName, Precision

SEED = 0
"""Of the random weights and the calibration images."""

_CALIBRATION_IMAGES = 4
"""The weights are random and only time is measured, so that the ranges of activations need not be exact."""


class VariantFactory:
    """Makes the variants of one search space in one precision and format.

    The maximum-width network, with random weights, is converted and quantised once and kept in the folder ``cache``; a
    variant is cut from it. Its weights mean nothing: a variant is for measuring latency. What is deployed is quantised
    afresh from the trained network.

    Raises:
        MissingPackageError: Something must be converted and the converter is not installed.
        SurroundingsError: The conversion failed.
    """

    def __init__(
        self,
        space: SearchSpace,
        precision: Precision,
        format_name: FormatName,
        cache: Path,
        *,
        progress: Progress = SILENT,
    ) -> None:
        self.space = space
        self.precision = precision
        self.cache = cache
        shape = (_CALIBRATION_IMAGES, *space.network.input.size, space.network.in_channels)
        images = np.random.default_rng(SEED).integers(0, 256, shape, np.uint8)
        widths = space.widths(space.largest)
        weights = random_weights(space.network, widths, seed=SEED)
        self._conversion = Conversion(space.network, widths, weights, [precision], images, progress)
        self._format = FORMATS[format_name]
        path = cache / _cache_name(space, precision, self._format)
        self._layout = self._cached_layout(path) or self._fresh_layout(path)

    def variant(self, config: ChannelConfig) -> bytes:
        """The file of this configuration.

        Raises:
            InputError: The configuration is not in the search space.
        """
        return self._layout.write(self.space.widths(config))

    def _cached_layout(self, path: Path) -> Layout | None:
        try:
            return self._format.layout(path.read_bytes(), self._conversion)
        except (OSError, InputError, LookupError, ValueError, TypeError, struct.error):
            return None  # what is missing or damaged in a cache is made again

    def _fresh_layout(self, path: Path) -> Layout:
        content = self._format.convert(self._conversion)[self.precision]
        layout = self._format.layout(content, self._conversion)
        try:
            write_atomic(path, content)
        except StorageError as error:
            self._conversion.progress.say(
                f"{error.message} The conversion is not kept, and costs its time again in the next run."
            )
        return layout


def _cache_name(space: SearchSpace, precision: Precision, file_format: Format) -> str:
    """A file name that differs when another file would come out: another space, precision, converter or edgewidth."""
    try:
        converter = importlib.metadata.version(file_format.converter)
    except importlib.metadata.PackageNotFoundError:
        converter = "none"
    versions = hashlib.sha256(f"{__version__} {converter} {SEED}".encode()).hexdigest()[:8]
    return f"variants-{space.fingerprint}-{precision}-{versions}.{file_format.name}"
