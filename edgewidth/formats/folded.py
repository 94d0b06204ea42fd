"""Folded weights of one network: their shapes, slices and random stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import MismatchError
from edgewidth.records.weights import FoldedLayer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewidth.graph.spec import LayerShape, NetworkSpec
    from edgewidth.records.weights import FoldedWeights

Label = str | int
"""The length of an axis: a width variable's name, or a number."""


def resolve(label: Label, widths: Mapping[str, int]) -> int:
    """The length that a label stands for."""
    return label if isinstance(label, int) else widths[label]


def kernel_axes(shape: LayerShape) -> tuple[Label, ...]:
    """The axes of a layer's kernel as ``FoldedLayer`` orders them; empty for a layer without weights."""
    layer = shape.layer
    return {
        "conv": (shape.out_width, shape.in_width, layer.kernel, layer.kernel),
        "depthwise": (shape.out_width, 1, layer.kernel, layer.kernel),
        "dense": (shape.out_width, shape.in_width),
    }.get(layer.op, ())


def kernel_shapes(network: NetworkSpec, widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The kernel shape of every layer that has weights, by layer name."""
    return {
        shape.layer.name: tuple(resolve(axis, widths) for axis in axes)
        for shape in network.shapes
        if (axes := kernel_axes(shape))
    }


def check_weights(network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights) -> None:
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


def slice_weights(network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights) -> dict[str, FoldedLayer]:
    """The leading channels of every layer: what a narrower configuration uses of wider weights."""
    return {
        name: FoldedLayer(weights[name].kernel[tuple(map(slice, shape))], weights[name].bias[: shape[0]])
        for name, shape in kernel_shapes(network, widths).items()
    }


def random_weights(network: NetworkSpec, widths: Mapping[str, int], *, seed: int) -> dict[str, FoldedLayer]:
    """Weights of the size that training starts from (He et al. 2015, arXiv 1502.01852), for measuring latency.

    All biases differ, because a converter stores equal ones once; they are mostly positive, so that a narrow
    slice of a wide network still has activations of a normal size and no denormal numbers.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in kernel_shapes(network, widths).items():
        kernel = rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        weights[name] = FoldedLayer(kernel, rng.uniform(-0.1, 0.5, shape[0]).astype(np.float32))
    return weights
