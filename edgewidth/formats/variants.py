"""Variants: any configuration of a search space as a runnable file, in milliseconds instead of a conversion."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InputError, StorageError
from edgewidth.files import write_atomic
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights
from edgewidth.formats.registry import FORMATS
from edgewidth.graph import operators
from edgewidth.progress import SILENT

if TYPE_CHECKING:
    from edgewidth.formats.format import Format, Layout
    from edgewidth.formats.sizes import FileSize
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import FormatName, Precision

SEED = 0
"""The seed of the random weights and the calibration images."""

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

    @property
    def size(self) -> FileSize:
        """What the files are made of."""
        return self._layout.size

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


def _sources(file_format: Format) -> list[Path]:
    """The Python files that decide how a network is converted: the operators, this folder and the format's own."""
    folders = (Path(operators.__file__), Path(__file__), Path(inspect.getfile(type(file_format))))
    return [path for folder in folders for path in sorted(folder.parent.glob("*.py"))]


def _cache_name(space: SearchSpace, precision: Precision, file_format: Format) -> str:
    """A file name that differs when another file would come out: another space, precision, converter or source."""
    try:
        converter = importlib.metadata.version(file_format.converter)
    except importlib.metadata.PackageNotFoundError:
        converter = "none"
    digest = hashlib.sha256(f"{converter} {SEED}".encode())
    for source in _sources(file_format):
        digest.update(source.read_bytes())
    return f"variants-{space.fingerprint}-{precision}-{digest.hexdigest()[:8]}.{file_format.name}"
