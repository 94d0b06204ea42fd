"""How training images are varied, as values; no numpy, so that a recipe can be named without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Flip = Literal["never", "colour", "always"]
"""When to mirror images at random. ``colour``: photographs; digits and letters are grey, and mean something else."""


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied.

    ``shift``: the most by which an image moves along each axis, as a share of its side.
    ``mixup``: parameter of the beta distribution that mixes pairs of images (Zhang et al. 2018, arXiv
    1710.09412); 0: none.
    """

    shift: float = 0.0625
    flip: Flip = "colour"
    mixup: float = 0.0

    def flips(self, channels: int) -> bool:
        """Whether images of so many channels are mirrored."""
        return self.flip == "always" or (self.flip == "colour" and channels == 3)
