"""Images that quantisation needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.spec import NetworkSpec


def check_calibration(network: NetworkSpec, calibration: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The calibration images, if they are what this network takes.

    Raises:
        InputError: There are none, or they have another type or shape.
    """
    shape = (*network.input.size, network.in_channels)
    if calibration is None or len(calibration) == 0:
        raise InputError("int8 quantisation needs calibration images.", remedy="Give images of the training data.")
    if calibration.dtype != np.uint8 or calibration.shape[1:] != shape:
        raise InputError(
            f"The calibration images are {calibration.dtype} of shape {calibration.shape[1:]}; "
            f"this network takes uint8 of shape {shape}."
        )
    return calibration
