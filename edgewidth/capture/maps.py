"""ATen operators on maps: pooling, means over pixels, zero padding, up-sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewidth.capture.shapes import SPREAD
from edgewidth.capture.trace import Value
from edgewidth.capture.weighted import zero_channels
from edgewidth.graph.operators import AveragePool, GlobalAveragePool, GlobalMaxPool, MaxPool, Upsample, ZeroPad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import fx

    from edgewidth.capture.trace import Trace


def average_pool(
    trace: Trace,
    node: fx.Node,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Value:
    """The mean of each window; of one that is the whole map, the mean of all pixels."""
    if divisor is not None:
        raise trace.unknown(node, "divides sums of pixels by a number of its own")
    if tuple(kernel) == x.shape[2:] and not any(padding):
        return _global(trace, node, x, "mean", keepdims=True)
    windows = _windows(kernel, stride, padding, ceil_mode)
    made = AveragePool(**windows, count_include_pad=count_include_pad and any(padding))
    return trace.same_channels(node, made, [trace.as_map(x, node)], _shape(node))


def max_pool(
    trace: Trace,
    node: fx.Node,
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Value:
    """The greatest pixel of each window; of one that is the whole map, that of all pixels."""
    if any(apart != 1 for apart in dilation):
        raise trace.unknown(node, "pools over windows with gaps")
    if tuple(kernel) == x.shape[2:] and not any(padding):
        return _global(trace, node, x, "max", keepdims=True)
    made = MaxPool(**_windows(kernel, stride, padding, ceil_mode))
    return trace.same_channels(node, made, [trace.as_map(x, node)], _shape(node))


def adaptive_average(trace: Trace, node: fx.Node, x: Value, size: Sequence[int]) -> Value:
    """The means of as many windows as the output has pixels."""
    return _adaptive(trace, node, x, tuple(size), "mean")


def adaptive_max(trace: Trace, node: fx.Node, x: Value, size: Sequence[int]) -> tuple[Value]:
    """The greatest pixels of as many windows as the output has pixels."""
    return (_adaptive(trace, node, x, tuple(size), "max"),)


def _adaptive(trace: Trace, node: fx.Node, x: Value, size: tuple[int, ...], kind: str) -> Value:
    """Windows that lie side by side, or have a pixel each.

    Of n windows over a length of L pixels torch lets the i-th reach from ⌊iL/n⌋ to ⌈(i + 1)L/n⌉: they are equal where n
    divides L, and a single pixel where L divides n.
    """
    pixels = x.shape[2:]
    if size == (1, 1):
        return _global(trace, node, x, kind, keepdims=True)
    if size == pixels:
        return x
    if not any(length % wanted for length, wanted in zip(pixels, size, strict=True)):
        kernel = [length // wanted for length, wanted in zip(pixels, size, strict=True)]
        return _pooled(trace, node, x, kernel, kind, size)
    if not any(wanted % length for length, wanted in zip(pixels, size, strict=True)):
        made = Upsample(size=(size[0], size[1]), mode="nearest")
        return trace.same_channels(node, made, [trace.as_map(x, node)], (*x.shape[:2], *size))
    what = f"pools a map of {pixels} pixels to {size}, in windows that overlap"
    remedy = "Choose a `resolution` by which one of these sizes divides the other, or pool otherwise."
    raise trace.unknown(node, what, remedy=remedy)


def _pooled(trace: Trace, node: fx.Node, x: Value, kernel: Sequence[int], kind: str, size: Sequence[int]) -> Value:
    """The mean, or the greatest pixel, of windows that lie side by side and cover a map: ``size`` of them."""
    windows = _windows(kernel)
    made = MaxPool(**windows) if kind == "max" else AveragePool(**windows)
    return trace.same_channels(node, made, [trace.as_map(x, node)], (*x.shape[:2], *size))


def mean(trace: Trace, node: fx.Node, x: Value, axes: Sequence[int], keepdims: bool = False, **_: Any) -> Value:
    """The mean, or the greatest, of all pixels; of each row or column, which the mean of all may be made of."""
    over = {axis % len(x.shape) for axis in axes}
    kind = "max" if "amax" in str(node.target) else "mean"
    if x.order == SPREAD and over == {2} and not keepdims:
        size = trace.sizes[x.base] or (1, 1)
        return _global(trace, node, Value((*x.shape[:2], *size), x.made), kind, keepdims=False)
    if not x.order and len(x.shape) == 4 and over in ({2}, {3}):
        column, row = (x.shape[2], 1), (1, x.shape[3])
        kernel, pixels = (column, row) if over == {2} else (row, column)
        found = _pooled(trace, node, x, kernel, kind, pixels)
        return found if keepdims else Value((*x.shape[:2], max(pixels)), found.made, SPREAD)
    if x.order or len(x.shape) != 4 or over != {2, 3}:
        raise trace.unknown(node, f"takes the {kind} of a tensor of shape {x.shape} along axes {sorted(over)}")
    return _global(trace, node, x, kind, keepdims=keepdims)


def pad(
    trace: Trace, node: fx.Node, x: Value, pads: Sequence[int], mode: str | float = "constant", value: float | None = 0
) -> Value:
    """Zeros around a map, and as further channels of it."""
    filling = value or 0 if isinstance(mode, str) else mode
    # Two numbers for each axis, the last one first; those of axes that stay as they are may be left out.
    left, right, top, bottom, before, after, *of_images = [*pads, *[0] * (8 - len(pads))]
    only_zeros = not filling and (mode == "constant" or not isinstance(mode, str))
    if len(x.shape) != 4 or any(of_images) or min(pads, default=0) < 0 or not only_zeros:
        what = f"pads a tensor of shape {x.shape} by {list(pads)}"
        raise trace.unknown(node, f"{what} otherwise than with zeros around a map")
    if any(pads[:4]):
        size = (x.shape[2] + top + bottom, x.shape[3] + left + right)
        made = ZeroPad(padding=((top, bottom), (left, right)))
        x = trace.same_channels(node, made, [trace.as_map(x, node)], (*x.shape[:2], *size))
    return zero_channels(trace, node, x, before, after) if before or after else x


def upsample(trace: Trace, node: fx.Node, x: Value, *arguments: Any) -> Value:
    """A map scaled up, to a size or by whole factors."""
    shape, scales = _shape(node), arguments[-1]
    if scales is not None and any(scale * a != b for scale, a, b in zip(scales, x.shape[2:], shape[2:], strict=True)):
        raise trace.unknown(node, f"scales a map of {x.shape[2:]} pixels by {list(scales)}, which gives no whole size")
    bilinear = "bilinear" in str(node.target)
    made = Upsample(
        size=shape[2:], mode="bilinear" if bilinear else "nearest", align_corners=bilinear and bool(arguments[1])
    )
    return trace.same_channels(node, made, [trace.as_map(x, node)], shape)


def _global(trace: Trace, node: fx.Node, x: Value, kind: str, *, keepdims: bool) -> Value:
    pool = GlobalMaxPool if kind == "max" else GlobalAveragePool
    shape = (*x.shape[:2], 1, 1) if keepdims else x.shape[:2]
    return trace.same_channels(node, pool(keepdims=keepdims), [trace.as_map(x, node)], shape)


def _windows(
    kernel: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = (0, 0), ceil_mode: bool = False
) -> dict[str, Any]:
    """Without a stride, windows lie side by side."""
    return {
        "kernel": (kernel[0], kernel[-1]),
        "stride": ((stride or kernel)[0], (stride or kernel)[-1]),
        "padding": ((padding[0], padding[0]), (padding[-1], padding[-1])),
        "ceil_mode": ceil_mode,
    }


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)
