"""A family's network as it is described: one layer after the other, width variables named as they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.errors import InputError
from edgewidth.graph.operators import Dense, GlobalAveragePool
from edgewidth.graph.spec import INPUT, NetworkSpec, Node

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Operator
    from edgewidth.resolution import Resolution

LEAST, MOST = 8, 1024
"""Pixels along each side of the input that a family takes."""


class Described(NamedTuple):
    """A network with its widths left open, and how wide each variable is at width multiplier 1.0."""

    network: NetworkSpec
    base_widths: tuple[int, ...]


class Builder:
    """Collects the layers of a network. Width variables are ``w0``, ``w1``, … in the order of first use.

    Padding is SAME throughout, also where the authors' framework pads both sides alike: files then need no layer
    that does nothing but pad, and nothing that is counted depends on it.
    """

    def __init__(self, family: str, *, resolution: Resolution, in_channels: int) -> None:
        """Begin with no layer; ``resolution`` is in pixels, one number for a square or (height, width).

        Raises:
            InputError: A side is shorter than ``LEAST`` or longer than ``MOST``.
        """
        self._family, self._resolution, self._in_channels = family, resolution, in_channels
        self._sides = (resolution, resolution) if isinstance(resolution, int) else resolution
        if not LEAST <= min(self._sides) <= max(self._sides) <= MOST:
            shown = "×".join(map(str, dict.fromkeys(self._sides)))
            raise InputError(
                f"The resolution {shown} does not fit {family}.", remedy=f"Use {LEAST} to {MOST} pixels a side."
            )
        self._nodes: list[Node] = []
        self.bases: dict[str, int] = {}
        """The width of every variable at width multiplier 1.0."""

    @property
    def last(self) -> str:
        """The name of the layer that was added last."""
        return self._nodes[-1].name if self._nodes else INPUT

    def fitted(self, strides: Sequence[int]) -> tuple[int, ...]:
        """The published strides of all layers in a row, with fewer downsampling steps where the input is small.

        Steps are left out, the last but one first, until the last map has at least 2 pixels along both sides. The
        first step, which saves most of the arithmetic, and the last one always stay.
        """
        found = list(strides)
        steps = [place for place, stride in enumerate(strides) if stride > 1]
        while len(steps) > 2 and min(self._sides) <= math.prod(found):
            found[steps.pop(-2)] = 1
        return tuple(found)

    def width(self, base: int) -> str:
        """A new width variable; the next layer must be the first to use it."""
        name = f"w{len(self.bases)}"
        self.bases[name] = base
        return name

    def add(self, name: str, operator: Operator, *inputs: str) -> None:
        """Add a layer that reads ``inputs``, or the layer before it where none are named."""
        self._nodes.append(Node(name=name, operator=operator, inputs=inputs or (self.last,)))

    def pooled(self) -> None:
        """Add the mean of all pixels."""
        self.add("pool", GlobalAveragePool())

    def classified(self, num_classes: int) -> Described:
        """The whole network, which ends with a fully connected layer."""
        self.add("logits", Dense(width=num_classes))
        network = NetworkSpec(
            family=self._family,
            resolution=self._resolution,
            in_channels=self._in_channels,
            nodes=tuple(self._nodes),
        )
        return Described(network, tuple(self.bases.values()))
