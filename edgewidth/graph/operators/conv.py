"""Convolutions over maps: ``conv`` reads all channels or a group of them, ``depthwise`` one for each of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from edgewidth.graph.operators.operator import Affine, NewChannels, channels_of, fixed_channels
from edgewidth.graph.operators.window import Pair, Window
from edgewidth.graph.widths import Axes, TensorShape, Width, total


class Convolution(Window, Affine):
    """What convolutions share: between two elements of the kernel lie ``dilation`` - 1 pixels that are not read."""

    dilation: Pair = (1, 1)

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels from the first to the last that a window reads, both counted."""
        along_height, along_width = (
            (taps - 1) * apart + 1 for taps, apart in zip(self.kernel, self.dilation, strict=True)
        )
        return along_height, along_width

    def _check_dilation(self) -> None:
        if max(self.dilation) > 1 and max(self.stride) > 1:
            raise ValueError(f"{self.op} has both a stride and a dilation, which TFLite does not know")


class Conv(Convolution):
    """A convolution that makes ``width`` channels, each from all channels of its input.

    With ``groups`` the channels of input and output are divided into as many equal parts, and each part of the output
    reads its own part of the input; all their numbers are fixed then.
    """

    mixes: ClassVar[bool] = True

    op: Literal["conv"] = "conv"
    width: NewChannels
    groups: Width = 1

    @property
    def kind(self) -> str:
        """The operator with its kernel, and its groups where it has several."""
        return super().kind + (f"/{self.groups}" if self.groups > 1 else "")

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        self._check_dilation()
        output = self._output_with(inputs[0], channels_of(self.width))
        if self.groups > 1:
            ins, outs = (sum(fixed_channels("conv in groups", tensor)) for tensor in (inputs[0], output))
            if ins % self.groups or outs % self.groups:
                raise ValueError(f"conv cannot divide {ins} channels in and {outs} out into {self.groups} groups")
        return output

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(out, in, height, width); in groups, ``in`` are the channels of one."""
        ins = inputs[0].channels if self.groups == 1 else (total(inputs[0].channels, {}) // self.groups,)
        return channels_of(self.width), ins, (self.kernel[0],), (self.kernel[1],)


class Depthwise(Convolution):
    """A convolution of every channel by itself, ``multiplier`` times: its outputs lie side by side.

    With a multiplier above 1 the number of channels is fixed. ``segments`` are the lengths of what others tell apart
    among them; empty: the segments that it reads, multiplied.
    """

    op: Literal["depthwise"] = "depthwise"
    multiplier: Width = 1
    segments: tuple[Width, ...] = ()

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        self._check_dilation()
        (source,) = inputs
        if self.multiplier > 1 or self.segments:
            fixed_channels("depthwise with a multiplier", source)
        multiplied = tuple(c * self.multiplier if isinstance(c, int) else c for c in source.channels)
        if self.segments and sum(self.segments) != total(multiplied, {}):
            raise ValueError(f"depthwise makes {total(multiplied, {})} channels, not {self.segments}")
        return self._output_with(source, self.segments or multiplied)

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(channels, 1, height, width)."""
        return self._output_shape(inputs).channels, (1,), (self.kernel[0],), (self.kernel[1],)
