"""One's own weights as the start of a training: a supernet's, a plain network's, or any with the same names.

Of every width that is searched the first channels are taken, as many as both networks have; where the file is
narrower, the channels that it lacks have random weights, and what reads them begins with zeros, so that the network
computes what the narrower one did. All other sizes must agree, but for the number of outputs: where the file has
others, or lacks the layers that give them, these keep their random weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from edgewidth.errors import FileError
from edgewidth.graph.space import SearchSpace
from edgewidth.graph.widths import first_of_segments, resolve, total, variables_of
from edgewidth.records.provenance import file_digest
from edgewidth.training.networks.layers import layer_weights
from edgewidth.training.networks.normalisation import absorb_normalisation
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.weights import is_number, read_tensors, save_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Axes, Channels, Widths
    from edgewidth.progress import Progress
    from edgewidth.training.networks.supernet import Supernet

REMEDY = "Give the names and shapes that a supernet.safetensors of edgewidth train has; docs/training.md lists them."
OUTPUTS = "the outputs"
"""Stands beside the names of width variables, of which none has a space."""


_ASKED = "asked"
"""The entry of the header of weights that a network brought."""


class Given(NamedTuple):
    """Weights to begin with, which fit a network but for its widths."""

    tensors: Mapping[str, Tensor]
    """By the names of a network's parameters and statistics."""
    widths: Widths
    """Of every width variable, and how many outputs there are."""
    fresh: tuple[str, ...] = ()
    """Layers that keep their random weights, because the outputs are others."""
    folded: tuple[str, ...] = ()
    """Layers whose batch normalisation is folded away: they have a shift, and no scale."""

    @classmethod
    def of(cls, network: PlainNetwork) -> Given:
        """All weights of a network."""
        return cls(network.state_dict(), _own_widths(network))


def begin_with(network: Supernet, weights: Path | None, progress: Progress) -> str:
    """Start from a file if there is one, and say so; its digest, or nothing."""
    if weights is None:
        return ""
    tell_start(weights, start_from(network, weights), progress)
    return file_digest(weights)


def tell_start(weights: Path, fresh: list[str], progress: Progress) -> None:
    """Say with which weights training begins, and which layers begin anew."""
    but = f", but for {', '.join(fresh)}: its classes are others" if fresh else ""
    progress.say(f"Training begins with the weights of {weights}{but}.")


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
    given = read_given(network, path)
    copy_weights(network, given)
    return list(given.fresh)


def save_brought(
    space: SearchSpace,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    source: Path,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    asked: str,
) -> None:
    """Write weights that a network brings or a file has, for pixels as every network here takes them.

    Args:
        space: The search space, for the classes at hand; a head for others is left out, and begins anew.
        tensors: As in a file for ``start_from``, with the statistics of batch normalisation.
        path: Where they go.
        source: What messages call them.
        mean: What the network subtracts from pixels from 0 to 1, for each channel; None: its pixels are as here.
        std: What it divides them by after that.
        asked: What was asked for in all, which ``was_asked`` knows again.

    Raises:
        FileError: The tensors do not fit.
        InputError: The normalisation does not fit, or cannot be absorbed.
        StorageError: It cannot be written.
    """
    network, given = _at_own_widths(space, _fitting(PlainNetwork(space, space.largest), dict(tensors), source), seed=0)
    if mean is not None and std is not None:
        absorb_normalisation(network, mean, std)
    left_out = [f"{room}.{name}." for name in given.fresh for room in ("layers", "statistics")]
    for name in given.folded:
        # What was put back goes again, or whoever reads the file would take it for a trained one. Of what was absorbed
        # its mean has a part, which goes where the bias is.
        shift = layer_weights(network.layers, name).shift
        assert shift is not None  # noqa: S101 - only a layer with a bias is folded; for the type checker
        with torch.no_grad():
            shift.sub_(network.moments[name].mean)
        left_out += [f"layers.{name}.scale", f"statistics.{name}."]
    kept = {name: t for name, t in network.state_dict().items() if not name.startswith(tuple(left_out))}
    save_tensors(kept, path, {_ASKED: asked})


def was_asked(path: Path, asked: str) -> bool:
    """Whether ``save_brought`` has written a file for the same as is asked for now.

    Raises:
        FileError: It cannot be read.
    """
    return path.exists() and read_tensors(path)[1].get(_ASKED) == asked


def trained_network(space: SearchSpace, path: Path, *, seed: int) -> tuple[PlainNetwork, Given]:
    """The network of a safetensors file at the widths that it has there, whether ``space`` has them or not.

    Where the file has the statistics of batch normalisation they come along. Batch normalisation that was folded away
    is put back as one that changes nothing: scale 1, mean 0, variance 1. ``seed`` is that of a head that begins anew.

    Raises:
        FileError: As ``start_from`` raises.
    """
    return _at_own_widths(space, read_given(PlainNetwork(space, space.largest), path), seed=seed)


@torch.no_grad()
def _at_own_widths(space: SearchSpace, given: Given, *, seed: int) -> tuple[PlainNetwork, Given]:
    variables = tuple(v.model_copy(update={"choices": (given.widths[v.name],)}) for v in space.variables)
    own = SearchSpace(network=space.network, variables=variables)
    network = PlainNetwork(own, own.largest, seed=seed)
    copy_weights(network, given)
    for layer, moments in network.moments.items():
        for key, own in moments._asdict().items() if layer not in given.fresh else ():
            if (theirs := given.tensors.get(f"statistics.{layer}.{key}")) is not None:
                own.copy_(theirs)
    return network, given


def read_given(network: Supernet | PlainNetwork, path: Path) -> Given:
    """Read weights that fit a network but for its widths.

    Raises:
        FileError: As ``start_from`` raises.
    """
    return _fitting(network, read_tensors(path)[0], path)


def _fitting(network: Supernet | PlainNetwork, tensors: dict[str, Tensor], path: Path) -> Given:
    layers = [layer for layer in network.space.network.layers if layer.kernel]
    outputs = _layers_of_outputs(network.space.network)
    left = {name for name in tensors if not name.startswith("statistics.")}
    fresh, folded, axes_of = [], [], {}
    for layer in layers:
        axes = _axes(layer, outputs)
        own = {
            f"layers.{layer.name}.{key}": p for key, p in layer_weights(network.layers, layer.name).named_parameters()
        }
        if layer.name in outputs and not any(name in tensors for name in own):
            fresh.append(layer.name)
            continue
        scale, shift = (f"layers.{layer.name}.{key}" for key in ("scale", "shift"))
        if scale in own and scale not in tensors and shift in tensors:
            folded.append(layer.name)
            tensors[scale] = torch.ones_like(tensors[shift])
        for name, parameter in own.items():
            _check(axes, name, parameter, tensors.get(name), path)
            axes_of[name] = axes
        left -= own.keys()
        if layer.name in outputs and any(len(p) != len(tensors[name]) for name, p in own.items()):
            fresh.append(layer.name)
    if left:
        raise FileError(f"{path} does not fit: {min(left)} is no tensor of this network.", remedy=REMEDY)
    known = _known_widths(axes_of, tensors, network.space)
    for name, axes in axes_of.items():
        _check_agreement(axes, name, tensors[name], known, path)
    return Given(tensors, {variable: size for variable, (_, size) in known.items()}, tuple(fresh), tuple(folded))


@torch.no_grad()
def copy_weights(network: Supernet | PlainNetwork, given: Given) -> None:
    """Copy the channels that both have of every segment; existing channels read new ones with zeros.

    A plain network gets the statistics by which batch normalisation that was folded away changes nothing: mean 0 and
    variance 1.
    """
    own_widths = _own_widths(network)
    outputs = _layers_of_outputs(network.space.network)
    common = {name: min(width, own_widths[name]) for name, width in given.widths.items()}
    for layer in network.space.network.layers:
        if not layer.kernel or layer.name in given.fresh:
            continue
        axes = _axes(layer, outputs)
        for key, own in layer_weights(network.layers, layer.name).named_parameters():
            theirs = given.tensors[f"layers.{layer.name}.{key}"]
            for rows in first_of_segments(axes[0], common, own_widths):
                own[rows] = 0
            here, there = (
                product(*(first_of_segments(axis, common, widths) for axis in axes[: own.ndim]))
                for widths in (own_widths, given.widths)
            )
            for ours, its in zip(here, there, strict=True):
                own[ours] = theirs[its].to(own)
    if isinstance(network, PlainNetwork):
        for name in given.folded:
            network.moments[name].variance.fill_(1 - layer_weights(network.layers, name).epsilon)


def _axes(layer: Layer, outputs: Collection[str]) -> Axes:
    """The axes of a layer's kernel; along that of the ``outputs`` it may have any length, as along a variable's."""
    return ((OUTPUTS,), *layer.kernel[1:]) if layer.name in outputs else layer.kernel


def _layers_of_outputs(network: NetworkSpec) -> frozenset[str]:
    """The layers whose channels are the outputs: those that make them, and what passes them on one by one.

    The last layer may pool what a convolution makes, scale it, or add what several make.
    """
    last = network.layers[-1]
    found = {last.name}
    for layer in reversed(network.layers):
        passes_on = not layer.operator.mixes and all(read.channels == layer.output.channels for read in layer.reads)
        if layer.name in found and passes_on:
            found.update(layer.inputs)
    return frozenset(found)


def _own_widths(network: Supernet | PlainNetwork) -> Widths:
    return network.widths | {OUTPUTS: network.space.network.outputs}


def _known_widths(
    axes_of: Mapping[str, Axes], tensors: Mapping[str, Tensor], space: SearchSpace
) -> dict[str, tuple[str, int]]:
    """The width of every variable in the file, and the first tensor that tells it: one along which no other is unknown.

    What no tensor tells by itself, such as where two always lie side by side, is taken to be as wide as published.
    """
    known: dict[str, tuple[str, int]] = {}
    for name, axes in axes_of.items():
        for channels, size in zip(axes, tensors[name].shape, strict=False):
            unknown = [variable for variable in variables_of(channels) if variable not in known]
            if len(unknown) == 1:
                known[unknown[0]] = (name, _left_for(unknown[0], channels, size, known))
    published = {variable.name: ("the network", variable.base) for variable in space.variables}
    return published | known


def _left_for(variable: str, channels: Channels, size: int, known: Mapping[str, tuple[str, int]]) -> int:
    """How wide a variable is along an axis of this size where all other segments are known."""
    widths = {name: width for name, (_, width) in known.items()}
    others = sum(resolve(segment, widths) for segment in channels if segment != variable)
    return (size - others) // channels.count(variable)


def _check_agreement(axes: Axes, name: str, given: Tensor, known: Mapping[str, tuple[str, int]], path: Path) -> None:
    """Along a width variable every tensor must have as many channels as the first one that it lies along.

    ``known`` holds that tensor's name and its channels.
    """
    for axis, size in zip(axes, given.shape, strict=False):
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
