"""From a torch module to a network: its graph, its width variables, what is fixed and why, and its weights."""

from __future__ import annotations

import copy
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from edgewidth.capture.agreement import check_agreement
from edgewidth.capture.archive import load_program
from edgewidth.capture.aten import read_into
from edgewidth.capture.head import give_outputs
from edgewidth.capture.join import join
from edgewidth.capture.libraries import Normalisation, is_of_library, library_network
from edgewidth.capture.load import check_named, make_module
from edgewidth.capture.program import export, export_again, own_shape, read
from edgewidth.capture.spec import network_of, weights_of
from edgewidth.capture.trace import Trace, Value
from edgewidth.errors import InputError
from edgewidth.graph.operators import BatchNorm
from edgewidth.graph.spec import INPUT
from edgewidth.resolution import sides

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from edgewidth.capture.join import Drafts
    from edgewidth.capture.program import Program
    from edgewidth.capture.trace import Draft
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.resolution import Resolution


USUAL_RESOLUTION = 224
"""Pixels a side that most networks are published for."""


TRIALS = 10
"""Batches that a callable may show a network to see what it gives, such as how long a flattened map is."""


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
    normalisation: Normalisation | None = None
    """What the module does to pixels from 0 to 1 before it, as far as its library says; None: not known."""
    is_untrained: bool | None = None
    """Whether its weights are random; None: that cannot be told, and they are taken for trained ones.

    They are if batch normalisation has its first statistics still, mean 0 and variance 1: it never saw an image. Where
    there is none, or it saw next to nothing, they are if a callable gives others each time that torch draws other
    numbers.
    """

    @property
    def weights_digest(self) -> str:
        """16 hexadecimal digits that differ when any weight does, but for those of a head that begins anew."""
        content = hashlib.sha256()
        for name, tensor in sorted(self.weights.items()):
            content.update(name.encode())
            content.update(tensor.numpy().tobytes())
        return content.hexdigest()[:16]


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


def capture_named(
    text: str,
    *,
    resolution: Resolution | None,
    in_channels: int | None,
    num_classes: int | None,
    trained: bool = True,
) -> Captured:
    """Capture what ``file.py:callable``, ``package.module:callable``, ``network.pt2`` or ``library:NAME`` names.

    None stands for the network's own: the classes that it has by itself, the channels that its first convolution
    reads, and the resolution that a program was exported for, or ``USUAL_RESOLUTION``. Only if it is wanted ``trained``
    are the weights of a library's network fetched, and is a callable called again where nothing else tells whether its
    weights are random. What torch draws at random for a module is drawn the same each time, so that its weights differ
    only if it is another one, or was trained on.

    Raises:
        InputError: There is no such network, or it cannot be captured for these images and classes.
        SurroundingsError: A library is not installed, or its weights cannot be had.
    """
    path = check_named(text)
    if path is not None:
        return _captured_program(path, resolution, in_channels, num_classes)
    if is_of_library(text):
        with _seeded(0):
            module, normalisation = library_network(text, num_classes=num_classes, trained=trained)
    else:
        module, normalisation = _made(text, num_classes, seed=0), None
    images = torch.zeros(2, in_channels or _first_channels(module), *sides(resolution or USUAL_RESOLUTION))
    captured = capture(module, images, name=text, outputs=num_classes)._replace(normalisation=normalisation)
    if is_of_library(text):
        return captured._replace(is_untrained=not trained)
    may_be_random = captured.is_untrained is None or (captured.is_untrained is False and _was_tried(module))
    if trained and may_be_random and _draws_anew(text, num_classes, module):
        return captured._replace(is_untrained=True)
    return captured


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let torch draw the same each time, and afterwards go on as it would have."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _made(text: str, num_classes: int | None, *, seed: int) -> nn.Module:
    with _seeded(seed):
        return make_module(text, num_classes=num_classes)


def _was_tried(module: nn.Module) -> bool:
    """Whether batch normalisation counts so few batches that they may have been no training: ``TRIALS`` at most.

    It counts none where its statistics were set, as those of another framework.
    """
    counts = [int(one) for name, one in module.named_buffers() if name.endswith("num_batches_tracked")]
    return 0 < max(counts, default=0) <= TRIALS


def _draws_anew(text: str, num_classes: int | None, module: nn.Module) -> bool:
    """Whether a callable that is called again, as torch draws other numbers, gives no kernel that this module has.

    Those of one number throughout are passed over: they are as random weights begin, too.
    """
    try:
        again = _made(text, num_classes, seed=1)
    except InputError:  # it was called once, and may have had reasons to count on that
        return False
    pairs = zip(module.parameters(), again.parameters(), strict=False)
    same = [torch.equal(one, other) for one, other in pairs if one.ndim > 1 and (one != one.flatten()[:1]).any()]
    return bool(same) and not any(same)


def _first_channels(module: nn.Module) -> int:
    """The channels that the first convolution of a module reads; 3 if it has none."""
    return next((one.in_channels for one in module.modules() if isinstance(one, nn.Conv2d)), 3)


def _captured_program(
    path: Path, resolution: Resolution | None, in_channels: int | None, outputs: int | None
) -> Captured:
    """The network of a program for images of this size.

    Raises:
        InputError: It is for others.
    """
    exported = load_program(path)
    own = own_shape(exported, str(path))
    usual = (3, USUAL_RESOLUTION, USUAL_RESOLUTION)
    asked = (in_channels, *((None, None) if resolution is None else sides(resolution)))
    channels, height, width = (
        given or fixed or default for given, fixed, default in zip(asked, own, usual, strict=True)
    )
    image = (2, channels, height, width)
    if None in own:
        return _captured(export_again(exported, torch.zeros(image), name=str(path)), image, outputs)
    if own != (channels, height, width):
        raise InputError(
            f"{path} was exported for images of {own[1]}×{own[2]} pixels with {own[0]} channel(s), not of "
            f"{height}×{width} with {channels}.",
            remedy=f"Choose the `resolution` {own[1]}x{own[2]}, images with such channels, or export it with sizes "
            "that vary.",
        )
    return _captured(read(exported, str(path)), image, outputs)


def _captured(program: Program, image: tuple[int, ...], outputs: int | None) -> Captured:
    trace = Trace(program.name, image)
    found = read_into(trace, program, Value((program.images, *image[1:]), INPUT))
    last = next(node for node in program.graph.nodes if node.op == "output")
    output = trace.as_vector(found, last)
    if output == INPUT:
        raise trace.unknown(last, "gives its input as it is")
    is_untrained = _never_saw_an_image(trace.drafts.values())
    drafts = join(trace.drafts, output)
    _check(program, trace, drafts, image)
    fresh = give_outputs(trace, drafts, outputs)
    network, base_widths, fixed = network_of(trace, drafts)
    return Captured(network, base_widths, fixed, weights_of(drafts, fresh), fresh, is_untrained=is_untrained)


def _check(program: Program, trace: Trace, drafts: Drafts, image: tuple[int, ...]) -> None:
    """Make sure that the layers, with the outputs that the program has, compute what it does; they stay as they are.

    Raises:
        InputError: They do not.
    """
    own = copy.copy(trace)
    own.segments = copy.deepcopy(trace.segments)
    give_outputs(own, drafts, None)
    network, base_widths, _ = network_of(own, drafts)
    widths = dict(zip(network.variables, base_widths, strict=True))
    check_agreement(program, image, network, widths, weights_of(drafts, ()))


def _never_saw_an_image(drafts: Iterable[Draft]) -> bool | None:
    """Whether all batch normalisation has its first statistics; None: there is none.

    That is asked before layers are joined: the mean of one that follows a bias is another then.
    """
    norms = [draft.tensors for draft in drafts if isinstance(draft.operator, BatchNorm)]
    return all((t["mean"] == 0).all() and (t["variance"] == 1).all() for t in norms) if norms else None
