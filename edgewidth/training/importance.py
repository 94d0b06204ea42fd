"""Which channels matter: the first ones of every width variable become the most important ones.

A supernet's configurations use the first channels of every layer. In a network that was trained for one width any
channel may matter, so they are put in order before a supernet begins with it. How much the loss would change, to
first order, if a channel were zero everywhere is |Σ γ·∂loss/∂γ + β·∂loss/∂β| over the batch normalisations along
which it lies (Molchanov et al. 2019, arXiv 1906.10771).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgewidth.graph.operators import BatchNorm
from edgewidth.graph.operators.operator import Affine
from edgewidth.graph.widths import first_of_segments, variables_of
from edgewidth.training.networks.inference import FoldedTensors, fold_tensors, run_folded
from edgewidth.training.networks.layers import layer_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from edgewidth.data.batches import Batch
    from edgewidth.graph.widths import Channels, Widths
    from edgewidth.tasks.task import Objective
    from edgewidth.training.networks.plain import PlainNetwork

    Importance = Mapping[str, Tensor]
    """How much each channel of every width variable matters (nats): (width,)."""


def measure_importance(network: PlainNetwork, batches: Iterable[Batch], objective: Objective) -> dict[str, Tensor]:
    """The first-order change of the loss without a channel, its size summed over the batches.

    The network computes as in inference, with its own statistics: normalised by those of a batch, a channel would be
    as large as before whatever it is multiplied with, and seem to matter nothing to layers before. There γ·∂loss/∂γ +
    β·∂loss/∂β is the same as Σ w·∂loss/∂w + b·∂loss/∂b of folded weights w and bias b, which layers without batch
    normalisation have too.

    Args:
        network: With statistics of the images at hand.
        batches: Training images, of float32.
        objective: What the network learns.
    """
    spec, widths = network.space.network, network.widths
    device = next(network.parameters()).device
    found = {name: torch.zeros(width, device=device) for name, width in widths.items()}
    folded = {
        name: FoldedTensors(*(tensor.detach().requires_grad_() for tensor in tensors))
        for name, tensors in fold_tensors(network.weights(), network.moments).items()
    }
    for batch in batches:
        for tensors in folded.values():
            tensors.kernel.grad = tensors.bias.grad = None
        torch.autograd.backward(objective.loss(run_folded(spec, widths, folded, batch.images), batch.targets))
        change = {name: torch.zeros_like(size) for name, size in found.items()}
        for layer in spec.layers:
            if not isinstance(layer.operator, Affine | BatchNorm):
                continue
            terms = _products(folded[layer.name].kernel) + _products(folded[layer.name].bias)
            channels = layer.kernel[0]
            for segment, part in zip(channels, first_of_segments(channels, widths, widths), strict=True):
                if isinstance(segment, str):
                    change[segment] += terms[part]
        for name, changed in change.items():
            found[name] += changed.abs()
    return found


def _products(tensor: Tensor) -> Tensor:
    """The products of weights and their gradients, summed for each output channel."""
    assert tensor.grad is not None  # noqa: S101 - every weight is used; for the type checker
    return (tensor.detach() * tensor.grad).reshape(len(tensor), -1).sum(1)


@torch.no_grad()
def order_channels(network: PlainNetwork, importance: Importance) -> None:
    """Put the channels of every width variable in descending order of their importance, in place.

    All tensors follow, weights and statistics, along every segment that is the variable: what makes the channels, what
    passes them on and what reads them. So the network computes what it did, but for the order of summation.
    """
    orders = {name: values.argsort(descending=True, stable=True) for name, values in importance.items()}
    for layer in network.space.network.layers:
        if not layer.kernel:
            continue
        tensors = [*layer_weights(network.layers, layer.name).parameters(), *network.moments.get(layer.name, ())]
        for axis, channels in enumerate(layer.kernel):
            if variables_of(channels):
                places = _places(channels, network.widths, orders)
                for tensor in tensors:
                    if axis < tensor.ndim:
                        tensor.copy_(tensor.index_select(axis, places.to(tensor.device)))


def _places(channels: Channels, widths: Widths, orders: Mapping[str, Tensor]) -> Tensor:
    """Where along an axis each of its channels was before; fixed segments stay as they are."""
    parts = first_of_segments(channels, widths, widths)
    return torch.cat(
        [
            part.start + orders[segment].cpu() if isinstance(segment, str) else torch.arange(part.start, part.stop)
            for segment, part in zip(channels, parts, strict=True)
        ]
    )
