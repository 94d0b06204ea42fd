"""Folded weights of one network: their shapes, cuts and random stand-ins; and the kernel of the trial network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewidth.errors import MismatchError
from edgewidth.graph.widths import Cuts, lengths, resolve, variables_of
from edgewidth.records.weights import FoldedLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.graph.widths import Widths
    from edgewidth.records.weights import FoldedWeights


def kernel_shapes(network: NetworkSpec, widths: Widths) -> dict[str, tuple[int, ...]]:
    """The kernel shape of every layer that has weights, by layer name."""
    return {layer.name: lengths(layer.kernel, widths) for layer in network.layers if layer.kernel}


def cut(array: NDArray[Any], parts: Sequence[tuple[slice, ...]]) -> NDArray[Any]:
    """The ``parts`` along each axis, joined."""
    for axis, slices in enumerate(parts):
        if len(slices) > 1:
            before, after = parts[:axis], parts[axis + 1 :]
            return np.concatenate([cut(array, [*before, (part,), *after]) for part in slices], axis)
    return array[tuple([slices[0] for slices in parts])]


def check_weights(network: NetworkSpec, widths: Widths, weights: FoldedWeights) -> None:
    """Hold weights against a network.

    Raises:
        MismatchError: A layer's weights are missing, have another shape, or are not finite.
    """
    for name, shape in kernel_shapes(network, widths).items():
        if name not in weights:
            raise MismatchError(f"The weights lack the layer {name}.")
        layer = weights[name]
        if layer.kernel.shape != shape or layer.bias.shape != shape[:1]:
            raise MismatchError(
                f"The weights of the layer {name} have the shape {layer.kernel.shape} with {layer.bias.shape}; "
                f"this configuration needs {shape} with {shape[:1]}."
            )
        if not (np.isfinite(layer.kernel).all() and np.isfinite(layer.bias).all()):
            raise MismatchError(f"The weights of the layer {name} are not all finite numbers.")


def slice_weights(space: SearchSpace, config: ChannelConfig, weights: FoldedWeights) -> dict[str, FoldedLayer]:
    """What a configuration uses of the weights of the largest one."""
    cuts = Cuts(space.widths(config), space.widths(space.largest))
    return {
        layer.name: FoldedLayer(
            cut(weights[layer.name].kernel, cuts.of(layer.kernel)),
            cut(weights[layer.name].bias, cuts.of(layer.kernel[:1])),
        )
        for layer in space.network.layers
        if layer.kernel
    }


def random_weights(network: NetworkSpec, widths: Widths, *, seed: int) -> dict[str, FoldedLayer]:
    """Weights of the size that training starts from, for measuring latency.

    All biases differ, because a converter stores equal ones once; they are mostly positive, so that a narrow
    slice of a wide network still has activations of a normal size and no denormal numbers.

    A slice of them fills int8 as a network of that width would that is quantised by itself. This matters to compilers
    that pack weights by what these say: slices of normal numbers keep the range of the wide network, which is wider
    than theirs, and were packed by Vela into 1 to 3 % less.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in network.layers:
        if layer.kernel:
            shape = lengths(layer.kernel, widths)
            normal = rng.standard_normal(shape, dtype=np.float32)
            if len(layer.kernel) > 1 and variables_of(layer.kernel[1]):
                normal = _of_one_range(normal, [resolve(segment, widths) for segment in layer.kernel[1]])
            kernel = layer.operator.initial(normal, math.prod(shape[1:]))
            weights[layer.name] = FoldedLayer(kernel, rng.uniform(-0.1, 0.5, shape[0]).astype(np.float32))
    return weights


def _of_one_range(normal: NDArray[np.float32], segments: Sequence[int]) -> NDArray[np.float32]:
    """Normal numbers (filters, inputs, …), changed so that cuts of the inputs have the spread of as many by themselves.

    The largest of n normal numbers grows with n, and quantisation divides all by the largest. So here the first input
    has the largest of them all, and the later ones are so much smaller that the first n numbers of a filter have, with
    that largest one, the variance that n normal numbers have with theirs. ``segments``: the lengths, each of which is
    cut to a part.
    """
    count, taps = normal.shape[1], math.prod(normal.shape[2:])
    order = np.argsort(np.concatenate([np.arange(1, length + 1) / length for length in segments]), kind="stable")
    numbers = taps * np.arange(count + 1)
    largest = np.array([max(1.0, NormalDist().inv_cdf((1 + 0.5 ** (1 / max(n, 1))) / 2)) for n in numbers])
    scales = np.empty(count)
    most = float(largest[-1])
    scales[order] = most * np.sqrt(np.diff(numbers / largest**2) / taps)
    changed = normal * scales.astype(np.float32).reshape(1, count, *[1] * (normal.ndim - 2))
    changed = changed.clip(-most, most)
    filters = changed.reshape(len(normal), count, taps)
    filters[:, order[0], 0] = np.copysign(most, filters[:, order[0], 0])
    return changed


SIZE, CHANNELS, FILTERS = 48, 16, 32
"""What a device is tried out with, written in each format without a converter: a 3×3 convolution over 48×48×16 values,
10.6 million multiply-accumulates, milliseconds on a small board."""


def trial_kernel() -> NDArray[np.float32]:
    """The convolution's kernel, float32 (filters, 3, 3, channels)."""
    return np.random.default_rng(0).normal(0, 0.1, (FILTERS, 3, 3, CHANNELS)).astype(np.float32)
