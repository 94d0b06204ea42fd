"""Biases for int8: what rounding a kernel adds to a layer's outputs on average is taken off again.

A rounded weight is off by the same amount for every image, and what it is multiplied by, after a rectifier, is not zero
on average: so whole channels are shifted. Nagel et al. 2019 (arXiv 1906.04721, section 4.2), with means of images.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgewidth.data.pixels import normalise_tensor
from edgewidth.training.networks.inference import (
    FoldedTensors,
    batch_size,
    batches,
    fold_tensors,
    folded_weights,
    run_folded,
)
from edgewidth.training.networks.operators import compute
from edgewidth.training.networks.quantised import quantise_kernel

if TYPE_CHECKING:
    from edgewidth.data.pixels import Inputs
    from edgewidth.graph.spec import Layer
    from edgewidth.records.weights import FoldedWeights
    from edgewidth.training.networks.plain import PlainNetwork


@torch.no_grad()
def fold_for_int8(network: PlainNetwork, images: Inputs) -> FoldedWeights:
    """The trained weights as every exporter takes them, with biases that suit int8 files.

    ``images`` are calibration images or features (n, height, width, channels).
    """
    spec, widths = network.space.network, network.widths
    weights = fold_tensors(network.weights(), network.moments)
    device = next(network.parameters()).device
    sums: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))

    def watch(name: str, y: Tensor) -> Tensor:
        sums[name] = sums[name] + y.sum(0, keepdim=True)
        return y

    def corrected(layer: Layer) -> FoldedTensors:
        kernel, bias = weights[layer.name]
        if kernel.ndim == 1:  # one weight for each channel: either exact, or multiplied by some of the inputs alone
            return FoldedTensors(kernel, bias)
        mean = sums[layer.inputs[0]] / len(images)
        error = compute(layer, widths, mean, quantise_kernel(kernel) - kernel, None)
        return FoldedTensors(kernel, bias - error.reshape(len(bias), -1).mean(1))

    for part in batches(images, batch_size(spec, widths)):
        run_folded(spec, widths, weights, normalise_tensor(part.to(device)), watch)
    return folded_weights({layer.name: corrected(layer) for layer in spec.layers if layer.kernel})
