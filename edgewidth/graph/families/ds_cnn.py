"""DS-CNN, the keyword spotting network of MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597, section 4.3).

The small network of Zhang et al. 2017 (arXiv 1711.07128, table 5), as the benchmark's reference implementation has it:
input are 49 frames of 10 mel-frequency cepstral coefficients, classes are 12. Dropout is left to training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.graph.families.builder import Builder
from edgewidth.graph.families.separable import add_separable
from edgewidth.graph.operators import Conv

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Described
    from edgewidth.resolution import Resolution

WIDTH, BLOCKS = 64, 4


def ds_cnn(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The network as a chain of 5 width variables; published for a resolution of (49, 10) and one channel.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("ds_cnn", resolution=resolution, in_channels=in_channels)
    net.add("conv0", Conv(width=net.width(WIDTH), kernel=(10, 4), stride=2, activation="relu"))
    for number in range(1, BLOCKS + 1):
        add_separable(net, number, WIDTH, stride=1, activation="relu")
    net.pooled()
    return net.classified(num_classes)
