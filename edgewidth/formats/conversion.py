"""What a converter makes files of: a network with its weights, and images for quantisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.errors import InputError
from edgewidth.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgewidth.data.pixels import Inputs
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.graph.widths import Widths
    from edgewidth.records.measurement import Precision
    from edgewidth.records.weights import FoldedWeights


class Conversion(NamedTuple):
    """A network that becomes files, one for every precision.

    ``weights`` are folded, and of these ``widths``. ``calibration``: images or features (n, height, width, channels) of
    the training data, which ``int8`` needs.
    """

    network: NetworkSpec
    widths: Widths
    weights: FoldedWeights
    precisions: Sequence[Precision]
    calibration: Inputs | None = None
    progress: Progress = SILENT

    def images(self) -> Inputs:
        """The calibration images, if they are what this network takes.

        Raises:
            InputError: There are none, or they have another type or shape.
        """
        shape, images = (*self.network.input.size, self.network.in_channels), self.calibration
        if images is None or len(images) == 0:
            raise InputError("int8 quantisation needs calibration images.", remedy="Give images of the training data.")
        if images.dtype not in (np.uint8, np.float32) or images.shape[1:] != shape:
            raise InputError(
                f"The calibration images are {images.dtype} of shape {images.shape[1:]}; "
                f"this network takes uint8 or float32 of shape {shape}."
            )
        return images
