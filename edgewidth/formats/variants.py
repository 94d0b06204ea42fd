"""Variants: any configuration of a search space as a runnable file, in milliseconds instead of a conversion."""

from __future__ import annotations

import hashlib
import importlib.metadata
import struct
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InputError, StorageError
from edgewidth.files import write_atomic
from edgewidth.formats.folded import random_weights
from edgewidth.formats.registry import FORMATS
from edgewidth.progress import SILENT
from edgewidth.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgewidth.formats.format import Format, Layout
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import FormatName, Precision
    from edgewidth.records.weights import FoldedWeights

SEED = 0
"""Of the random weights and the calibration images."""

_CALIBRATION_IMAGES = 4
"""The weights are random and only time is measured, so that the ranges of activations need not be exact."""


class VariantFactory:
    """Makes the variants of one search space in one precision and format.

    The maximum-width network, with random weights, is converted and quantised once and kept in ``cache``; a variant
    is cut from it. Its weights mean nothing: a variant is for measuring latency. What is deployed is quantised afresh
    from the trained network.

    Args:
        space: The search space.
        precision: What the variants compute in.
        format_name: The format of the files.
        cache: A folder for converted files; made if missing.
        progress: Where a conversion reports to.

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
        self._format = FORMATS[format_name]
        widths = space.widths(space.largest)
        weights = random_weights(space.network, widths, seed=SEED)
        path = cache / _cache_name(space, precision, self._format)
        layout = self._cached_layout(path, widths, weights)
        if layout is None:
            content = self._convert(widths, weights, progress)
            layout = self._layout_of(content, widths, weights)
            try:
                write_atomic(path, content)
            except StorageError as error:
                progress.say(f"{error.message} The conversion is not kept, and costs its time again in the next run.")
        self._layout = layout

    def variant(self, config: ChannelConfig) -> bytes:
        """The file of this configuration.

        Raises:
            InputError: The configuration is not in the search space.
        """
        return self._layout.write(self.space.widths(config))

    def _cached_layout(self, path: Path, widths: Mapping[str, int], weights: FoldedWeights) -> Layout | None:
        try:
            return self._layout_of(path.read_bytes(), widths, weights)
        except (OSError, InputError, LookupError, ValueError, TypeError, struct.error):
            return None  # what is missing or damaged in a cache is made again

    def _layout_of(self, content: bytes, widths: Mapping[str, int], weights: FoldedWeights) -> Layout:
        return self._format.layout(content, self.space.network, widths, weights)

    def _convert(self, widths: Mapping[str, int], weights: FoldedWeights, progress: Progress) -> bytes:
        network = self.space.network
        shape = (_CALIBRATION_IMAGES, *network.input.size, network.in_channels)
        images = np.random.default_rng(SEED).integers(0, 256, shape, np.uint8)
        files = self._format.convert(
            network, widths, weights, precisions=[self.precision], calibration=images, progress=progress
        )
        return files[self.precision]


def _cache_name(space: SearchSpace, precision: Precision, file_format: Format) -> str:
    """A file name that differs when another file would come out: another space, precision, converter or edgewidth."""
    try:
        converter = importlib.metadata.version(file_format.converter)
    except importlib.metadata.PackageNotFoundError:
        converter = "none"
    versions = hashlib.sha256(f"{__version__} {converter} {SEED}".encode()).hexdigest()[:8]
    return f"variants-{space.fingerprint}-{precision}-{versions}.{file_format.name}"
