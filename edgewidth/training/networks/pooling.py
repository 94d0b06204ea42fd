"""Pooling over windows in torch, with paddings that torch itself does not know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from edgewidth.graph.operators import AveragePool, MaxPool


def max_pool(operator: MaxPool, x: Tensor) -> Tensor:
    """The greatest pixel of each window over (n, channels, height, width)."""
    return functional.max_pool2d(_padded(operator, x, -math.inf), operator.kernel, operator.stride)


def average_pool(operator: AveragePool, x: Tensor) -> Tensor:
    """The mean of each window over (n, channels, height, width)."""
    size = x.shape[2:]
    sums = functional.avg_pool2d(_padded(operator, x, 0.0), operator.kernel, operator.stride, divisor_override=1)
    return sums / torch.from_numpy(operator.counts(size)).to(sums)


def _padded(operator: AveragePool | MaxPool, x: Tensor, value: float) -> Tensor:
    (top, bottom), (left, right) = operator.pads(x.shape[2:])
    return functional.pad(x, (left, right, top, bottom), value=value) if top + bottom + left + right else x
