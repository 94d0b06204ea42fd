"""From a torch module to a network: its graph, its width variables, what is fixed and why, and its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from edgewidth.capture.archive import load_program
from edgewidth.capture.aten import read_into
from edgewidth.capture.head import give_outputs
from edgewidth.capture.join import join
from edgewidth.capture.load import check_named, make_module
from edgewidth.capture.program import export, export_again, own_size, read
from edgewidth.capture.spec import network_of, weights_of
from edgewidth.capture.trace import Trace, Value
from edgewidth.errors import InputError
from edgewidth.graph.spec import INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from edgewidth.capture.program import Program
    from edgewidth.graph.spec import NetworkSpec


class Captured(NamedTuple):
    """Someone's own network."""

    network: NetworkSpec
    """With width variables ``w0``, ``w1`` … in the order in which they are first used."""
    base_widths: tuple[int, ...]
    """How wide each of them is in the module."""
    fixed: Mapping[str, str]
    """By layer, why channels that it makes cannot vary."""
    weights: Mapping[str, Tensor]
    """Its tensors by the names that ``PlainNetwork`` has for them at the base widths: ``layers.<layer>.kernel``,
    ``.shift`` and ``.scale``, and ``statistics.<layer>.mean`` and ``.variance``, in torch's shapes."""
    fresh: tuple[str, ...] = ()
    """Layers that have no weights here, because they give another number of outputs than the module's."""


def capture(module: nn.Module, example: Tensor, *, name: str | None = None, outputs: int | None = None) -> Captured:
    """Capture a module as it computes in inference.

    Args:
        module: A network for images; it stays as it is.
        example: A batch of images (n, channels, height, width), of the size that the network is to take. Their values
            do not matter.
        name: What messages and documents call it; None: by its class.
        outputs: How many numbers it is to give, such as one logit for each class; None: as many as it gives. With
            others than the module has, the last layer begins anew.

    Raises:
        InputError: It cannot be captured; the message says which of its operators is not known, and where that
            stands, or why torch cannot export it.
    """
    name = name or type(module).__name__
    return _captured(export(module, example, name=name), tuple(example.shape), outputs)


def capture_named(text: str, *, resolution: int, in_channels: int, num_classes: int) -> Captured:
    """Capture what ``file.py:callable``, ``package.module:callable`` or ``network.pt2`` names.

    Raises:
        InputError: There is no such network, or it cannot be captured for these images and classes.
    """
    path = check_named(text)
    image = (2, in_channels, resolution, resolution)
    if path is None:
        module = make_module(text, num_classes=num_classes)
        return capture(module, torch.zeros(image), name=text, outputs=num_classes)
    return _captured(_program(path, image), image, num_classes)


def _program(path: Path, image: tuple[int, ...]) -> Program:
    """The program of a file for images of this shape, of which the first number does not count.

    Raises:
        InputError: It is for others.
    """
    exported = load_program(path)
    size = own_size(exported, str(path))
    if size is None:
        return export_again(exported, torch.zeros(image), name=str(path))
    if size != image[1:]:
        raise InputError(
            f"{path} was exported for images of {size[1]}×{size[2]} pixels with {size[0]} channel(s), not of "
            f"{image[2]}×{image[3]} with {image[1]}.",
            remedy=f"Choose the `resolution` {size[1]}, images with such channels, or export it with sizes that vary.",
        )
    return read(exported, str(path))


def _captured(program: Program, image: tuple[int, ...], outputs: int | None) -> Captured:
    trace = Trace(program.name, image)
    found = read_into(trace, program, Value((program.images, *image[1:]), INPUT))
    last = next(node for node in program.graph.nodes if node.op == "output")
    output = trace.as_vector(found, last)
    if output == INPUT:
        raise trace.unknown(last, "gives its input as it is")
    drafts = join(trace.drafts, output)
    fresh = give_outputs(trace, drafts, outputs)
    network, base_widths, fixed = network_of(trace, drafts)
    return Captured(network, base_widths, fixed, weights_of(drafts, fresh), fresh)
