"""Operators that choose and order channels and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgewidth.graph.operators.operator import Operator, fixed_channels
from edgewidth.graph.widths import TensorShape


class Slice(Operator):
    """Some of the channels of its input: its segments from number ``start`` to before ``stop``, counted from 0.

    A split or a chunk is one of these for each of its results.
    """

    op: Literal["slice"] = "slice"
    start: Annotated[int, Field(ge=0)]
    stop: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.start >= self.stop:
            raise ValueError(f"slice from segment {self.start} to {self.stop} holds nothing")
        return self

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        (source,) = inputs
        if self.stop > len(source.channels):
            raise ValueError(f"slice ends at segment {self.stop}, and its input has {len(source.channels)}")
        return TensorShape(source.size, source.channels[self.start : self.stop])


class ChannelShuffle(Operator):
    """Channels in ``groups`` equal parts dealt out in turn: the first of each part, then the second of each, and so on.

    Their number is fixed: channels that others are dealt between cannot be left out. The segments of the output are
    as long as those of the input.
    """

    op: Literal["channel_shuffle"] = "channel_shuffle"
    groups: Annotated[int, Field(ge=2)]

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        (source,) = inputs
        channels = sum(fixed_channels(self.op, source))
        if channels % self.groups:
            raise ValueError(f"channel_shuffle cannot divide {channels} channels into {self.groups} groups")
        return source
