"""A network that computes in float32 what its int8 files will compute: quantisation-aware training.

Jacob et al. 2018 (arXiv 1712.05877): weights and activations are rounded to the values that int8 can hold, and
gradients pass the rounding unchanged where nothing was clipped. As TFLite and ONNX's QDQ have it, weights are symmetric
with one scale per output channel, after batch normalisation is folded into them; the input and every layer's output
are asymmetric with one scale. Biases have 32 bits and stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgewidth.data.pixels import normalise_tensor
from edgewidth.graph.spec import INPUT
from edgewidth.training.networks.inference import FoldedTensors, batch_size, fold_tensors, run_folded

if TYPE_CHECKING:
    from edgewidth.training.networks.plain import PlainNetwork

RANGE_SHARE = 0.01
"""How far a batch in training moves the ranges of activations towards its own least and greatest values."""
LEAST, GREATEST = -128, 127
"""What an int8 activation can hold; weights leave out the least, so that they are symmetric."""


class QuantisedNetwork(nn.Module):
    """A plain network with its statistics as they are, rounded as int8 rounds.

    Its parameters are the plain network's own. ``ranges`` (activations, 2) holds the least and the greatest value of
    the input and of each layer's output; they always contain zero, as zero padding needs.
    """

    ranges: Tensor

    def __init__(self, network: PlainNetwork) -> None:
        super().__init__()
        self.network = network
        self._spec = network.space.network
        names = [INPUT, *(layer.name for layer in self._spec.layers)]
        self._places = {name: place for place, name in enumerate(names)}
        self.register_buffer("ranges", torch.zeros(len(names), 2))

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Set the ranges as the converters will: the extremes that the float32 network reaches on ``images``.

        Images or features are (n, height, width, channels).
        """
        found = torch.zeros_like(self.ranges)

        def watch(name: str, y: Tensor) -> Tensor:
            least, greatest = found[self._places[name]]
            found[self._places[name]] = torch.stack((torch.minimum(least, y.min()), torch.maximum(greatest, y.max())))
            return y

        weights = fold_tensors(self.network.weights(), self.network.moments)
        for part in torch.split(images, batch_size(self._spec, self.network.widths)):
            run_folded(self._spec, self.network.widths, weights, normalise_tensor(part), watch)
        self.ranges.copy_(found)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs) for normalised float32 images (n, channels, height, width).

        In training mode the ranges follow the images.
        """
        weights = {
            name: FoldedTensors(quantise_kernel(kernel), bias)
            for name, (kernel, bias) in fold_tensors(self.network.weights(), self.network.moments).items()
        }

        def watch(name: str, y: Tensor) -> Tensor:
            place = self._places[name]
            if self.training:
                extremes = torch.stack(torch.aminmax(y.detach()))
                self.ranges[place].lerp_(extremes, RANGE_SHARE)
                self.ranges[place, 0].clamp_(max=0)
                self.ranges[place, 1].clamp_(min=0)
            return _quantise_activation(y, *self.ranges[place])

        return run_folded(self._spec, self.network.widths, weights, x, watch)


def _quantise_activation(x: Tensor, least: Tensor, greatest: Tensor) -> Tensor:
    """``x`` rounded to 256 values from ``least`` to ``greatest``, of which zero is one."""
    scale = ((greatest - least) / (GREATEST - LEAST)).clamp_min(torch.finfo(torch.float32).eps)
    zero_point = (LEAST - least / scale).round().clamp(LEAST, GREATEST).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, LEAST, GREATEST)


def quantise_kernel(kernel: Tensor) -> Tensor:
    """A kernel (out, …) rounded to 255 values per output channel, zero in the middle.

    One weight for each channel (channels,) is rounded as an activation is: all of them with one scale.
    """
    if kernel.ndim == 1:
        least, greatest = torch.aminmax(kernel.detach())
        return _quantise_activation(kernel, least.clamp_max(0), greatest.clamp_min(0))
    scale = kernel.detach().flatten(1).abs().amax(1).clamp_min(torch.finfo(torch.float32).eps) / GREATEST
    zero_points = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(kernel, scale, zero_points, 0, -GREATEST, GREATEST)
