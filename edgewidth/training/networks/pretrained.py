"""One's own weights as the start of a training: a supernet's, a plain network's, or any with the same names.

Of every width that is searched the first channels are taken, as many as both networks have; where the file is
narrower, the rest keeps its random weights. All other sizes must agree, but for the number of outputs: where the
file has others, the last layer keeps its random weights.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgewidth.errors import FileError
from edgewidth.graph.widths import first_of_segments, total, variables_of
from edgewidth.records.provenance import file_digest
from edgewidth.training.networks.layers import layer_weights
from edgewidth.training.networks.weights import is_number, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from edgewidth.graph.spec import Layer
    from edgewidth.graph.widths import Axes, Widths
    from edgewidth.progress import Progress
    from edgewidth.training.networks.plain import PlainNetwork
    from edgewidth.training.networks.supernet import Supernet

REMEDY = "Give the names and shapes that a supernet.safetensors of edgewidth train has; the README lists them."
OUTPUTS = "the outputs"
"""Stands beside the names of width variables, of which none has a space."""


def begin_with(network: Supernet | PlainNetwork, weights: Path | None, progress: Progress) -> str:
    """Start from a file if there is one, and say so; its digest, or nothing."""
    if weights is None:
        return ""
    fresh = start_from(network, weights)
    but = f", but for {', '.join(fresh)}: its classes are others" if fresh else ""
    progress.say(f"Training begins with the weights of {weights}{but}.")
    return file_digest(weights)


@torch.no_grad()
def start_from(network: Supernet | PlainNetwork, path: Path) -> list[str]:
    """Copy the weights of a safetensors file into a network, as far as both reach.

    Statistics of batch normalisation are not needed: training uses the batch's, and the final ones are computed.

    Args:
        network: What is to be trained.
        path: Tensors ``layers.<layer>.kernel``, ``.scale`` and ``.shift``, shaped as in ``LayerWeights``.

    Returns:
        The layers that keep their random weights because the file is of another number of outputs.

    Raises:
        FileError: It cannot be read, or a tensor is missing, unknown, of another shape, or no finite numbers; or
            layers that share a width have others in the file.
    """
    tensors, _ = read_tensors(path)
    left = {name for name in tensors if not name.startswith("statistics.")}
    fresh: list[str] = []
    known: dict[str, tuple[str, int]] = {}
    widths = network.widths | {OUTPUTS: network.space.network.outputs}
    for layer in network.space.network.layers:
        if not layer.kernel:
            continue
        axes = _axes(layer, network)
        weights = layer_weights(network.layers, layer.name)
        own = {f"layers.{layer.name}.{key}": p for key, p in weights.named_parameters()}
        for key, parameter in own.items():
            _check(axes, key, parameter, tensors.get(key), path)
            _check_agreement(axes, key, tensors[key], known, path)
        left -= own.keys()
        if axes[0] == (OUTPUTS,) and any(len(p) != len(tensors[key]) for key, p in own.items()):
            fresh.append(layer.name)
            continue
        theirs = {name: size for name, (_, size) in known.items()}
        for key, parameter in own.items():
            _copy_common(axes, parameter, widths, tensors[key], theirs)
    if left:
        raise FileError(f"{path} does not fit: {min(left)} is no tensor of this network.", remedy=REMEDY)
    return fresh


def _axes(layer: Layer, network: Supernet | PlainNetwork) -> Axes:
    """The axes of a layer's kernel; that of the last layer's outputs may have any length, as a variable's."""
    is_last = layer.name == network.space.network.layers[-1].name
    return ((OUTPUTS,), *layer.kernel[1:]) if is_last else layer.kernel


def _copy_common(axes: Axes, own: Tensor, own_widths: Widths, given: Tensor, given_widths: Widths) -> None:
    """Copy the channels that both have of every segment."""
    common = {name: min(width, own_widths[name]) for name, width in given_widths.items()}
    ours, theirs = (
        product(*(first_of_segments(axis, common, widths) for axis in axes[: own.ndim]))
        for widths in (own_widths, given_widths)
    )
    for here, there in zip(ours, theirs, strict=True):
        own[here].copy_(given[there])


def _check_agreement(axes: Axes, name: str, given: Tensor, known: dict[str, tuple[str, int]], path: Path) -> None:
    """Along a width variable every tensor must have as many channels as the first one that it lies along.

    ``known`` holds that tensor's name and its channels.
    """
    for axis, size in zip(axes, given.shape, strict=False):
        if len(axis) == 1 and isinstance(axis[0], str):
            known.setdefault(axis[0], (name, size))
        expected = total(axis, {variable: channels for variable, (_, channels) in known.items()})
        if size != expected:
            others = " and ".join(known[variable][0] for variable in variables_of(axis))
            raise FileError(
                f"{path} does not fit: {name} has {size} of the channels of which {others} has {expected}.",
                remedy=REMEDY,
            )


def _check(axes: Axes, name: str, own: Tensor, given: Tensor | None, path: Path) -> None:
    """A tensor must be there, with the sizes of ``own`` along all axes but those of searched widths and outputs."""
    free = [bool(variables_of(axis)) for axis in axes]
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
