"""One's own weights as the start of a training: a supernet's, a plain network's, or any with the same names.

Of every width that is searched the first channels are taken, as many as both networks have; where the file is
narrower, the rest keeps its random weights. All other sizes must agree, but for the number of classes: where the
file has others, the head keeps its random weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgewidth.errors import FileError
from edgewidth.training.networks.layers import has_weights, layer_weights
from edgewidth.training.networks.weights import fingerprint, is_number, read_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgewidth.graph.spec import LayerShape
    from edgewidth.progress import Progress
    from edgewidth.training.networks.plain import PlainNetwork
    from edgewidth.training.networks.supernet import Supernet

REMEDY = "Give the names and shapes that a supernet.safetensors of edgewidth train has; the README lists them."
CLASSES = "the classes"
"""Stands beside the names of width variables, of which none has a space."""


def begin_with(network: Supernet | PlainNetwork, weights: Path | None, progress: Progress) -> str:
    """Start from a file if there is one, and say so; its fingerprint, or nothing."""
    if weights is None:
        return ""
    fresh = start_from(network, weights)
    but = f", but for {', '.join(fresh)}: its classes are others" if fresh else ""
    progress.say(f"Training begins with the weights of {weights}{but}.")
    return fingerprint(weights)


@torch.no_grad()
def start_from(network: Supernet | PlainNetwork, path: Path) -> list[str]:
    """Copy the weights of a safetensors file into a network, as far as both reach.

    Statistics of batch normalisation are not needed: training uses the batch's, and the final ones are computed.

    Args:
        network: What is to be trained.
        path: Tensors ``layers.<layer>.kernel``, ``.scale`` and ``.shift``, shaped as in ``LayerWeights``.

    Returns:
        The layers that keep their random weights because the file is of another number of classes.

    Raises:
        FileError: It cannot be read, or a tensor is missing, unknown, of another shape, or no finite numbers; or
            layers that share a width have others in the file.
    """
    tensors, _ = read_tensors(path)
    left = {name for name in tensors if not name.startswith("statistics.")}
    fresh: list[str] = []
    first: dict[str, tuple[str, int]] = {}
    for shape in filter(has_weights, network.space.network.shapes):
        name = shape.layer.name
        own = {f"layers.{name}.{key}": p for key, p in layer_weights(network.layers, name).named_parameters()}
        for key, parameter in own.items():
            _check(shape, key, parameter, tensors.get(key), path)
            _check_agreement(shape, key, tensors[key], first, path)
        left -= own.keys()
        if shape.layer.op == "dense" and any(len(p) != len(tensors[key]) for key, p in own.items()):
            fresh.append(name)
            continue
        for key, parameter in own.items():
            part = tuple(slice(0, size) for size in tensors[key].shape)
            reached = parameter[part]
            reached.copy_(tensors[key][tuple(slice(0, size) for size in reached.shape)])
    if left:
        raise FileError(f"{path} does not fit: {min(left)} is no tensor of this network.", remedy=REMEDY)
    return fresh


def _along(shape: LayerShape) -> tuple[str | int, str | int]:
    """What lies along the first two axes of a layer's tensors: a width variable or the classes, or a fixed size."""
    out_width = CLASSES if shape.layer.op == "dense" else shape.out_width
    return out_width, 1 if shape.layer.op == "depthwise" else shape.in_width  # there every channel has one input


def _check_agreement(
    shape: LayerShape, name: str, given: Tensor, first: dict[str, tuple[str, int]], path: Path
) -> None:
    """Along a width variable every tensor must have as many channels as the ``first`` one that it lies along."""
    for width, size in zip(_along(shape), given.shape, strict=False):
        if isinstance(width, str):
            other, agreed = first.setdefault(width, (name, size))
            if size != agreed:
                raise FileError(
                    f"{path} does not fit: {name} has {size} of the channels of which {other} has {agreed}.",
                    remedy=REMEDY,
                )


def _check(shape: LayerShape, name: str, own: Tensor, given: Tensor | None, path: Path) -> None:
    """A tensor must be there, with the sizes of ``own`` along all axes but those of searched widths and classes."""
    free = [*(isinstance(width, str) for width in _along(shape)), False, False]
    sizes = zip(own.shape, free, strict=False)
    expected = " × ".join(f"any (here {size})" if may else str(size) for size, may in sizes)
    if given is None:
        raise FileError(f"{path} does not fit: there is no {name}, of shape {expected}.", remedy=REMEDY)
    agree = given.ndim == own.ndim and all(
        may or a == b for a, b, may in zip(own.shape, given.shape, free, strict=False)
    )
    if not agree:
        found = " × ".join(map(str, given.shape))
        raise FileError(f"{path} does not fit: {name} has shape {found}, and should have {expected}.", remedy=REMEDY)
    if not is_number(given) or not given.isfinite().all():
        raise FileError(
            f"{path} does not fit: {name} holds other values than finite floating-point numbers of 16 bits or more.",
            remedy="Give weights of a training that did not diverge, as float32, float16 or bfloat16.",
        )
