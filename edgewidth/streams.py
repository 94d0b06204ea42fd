"""Random streams, each for one purpose at one position.

A generator is made of the seed, the purpose and the position (an epoch, a step, a round), so nothing random has a
state: a training that is taken up at step n draws what the unbroken one would have drawn. Streams of different
purposes have nothing in common.
"""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Purpose(IntEnum):
    """What is drawn. The values are part of every result that a seed reproduces.

    None is 0: zeros at the end of what a generator is made of make no other generator.
    """

    SPLIT = 1
    CALIBRATION = 2
    STATISTICS = 3
    NARROWING = 4
    HELD_OUT = 5
    EVALUATED = 6
    RIVALS = 7
    ORDER = 11
    VARIATION = 12
    WIDTHS = 13
    MIXING = 14


def stream(seed: int, purpose: Purpose, position: int = 0) -> np.random.Generator:
    """The generator for one purpose at one position."""
    return np.random.default_rng([seed, purpose, position])
