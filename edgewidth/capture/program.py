"""A torch module as a program of ATen operators: ``torch.export``, and what can go wrong with it in words."""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export.graph_signature import OutputKind

from edgewidth.capture.guard import told
from edgewidth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import fx
    from torch.export import ExportedProgram

ONE_IN_ONE_OUT = "A network takes one batch of images (n, channels, height, width) and gives logits (n, outputs)."


class Program(NamedTuple):
    """A network as a functional graph: nothing in it changes a tensor in place."""

    name: str
    """What messages call the network."""
    graph: fx.Graph
    tensors: Mapping[str, Tensor]
    """Parameters, buffers and constants, by the placeholder that stands for them."""
    input: str
    """The placeholder of the images."""
    images: int
    """How many of them there are in the batch that it was exported with."""


def export(module: nn.Module, example: Tensor, *, name: str) -> Program:
    """Export a module in inference mode for images of this size; the module itself stays as it is.

    Raises:
        InputError: It cannot take such images, has several inputs or outputs, cannot be exported, or has weights that
            are no finite numbers.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"{name} is no torch.nn.Module.", remedy="Give the network itself.")
    _check_inputs(module, name)
    _check_sizes(module, name)
    copied = _copied(module, name)
    _check_finite(copied.state_dict(), name)
    example = example.detach().cpu().float()
    with torch.no_grad():
        _check_outputs(_run(copied, example, name), example, name)
    try:
        with quiet():
            exported = torch.export.export(copied, (example,))
    except Exception as error:
        raise InputError(
            f"torch.export cannot capture {name}: {_first_sentence(error)}",
            remedy="Write what depends on the values of tensors, such as an if on them, as operations on tensors.",
        ) from error
    return read(exported, name)


def read(exported: ExportedProgram, name: str) -> Program:
    """The graph of an exported program without in-place operators, with its tensors by placeholder.

    Raises:
        InputError: It has several inputs or outputs, weights that are no finite numbers, or outputs that depend on what
            earlier images left behind.
    """
    with quiet():
        functional = exported.run_decompositions({})
    signature = functional.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        counts = f"{len(signature.user_inputs)} inputs and {len(signature.user_outputs)} outputs"
        raise InputError(f"{name} has {counts}.", remedy=ONE_IN_ONE_OUT)
    _leave_out_changes(functional, name)
    held = {**functional.state_dict, **functional.constants}
    _check_finite(held, name)
    paths = {spec.arg.name: spec.target for spec in signature.input_specs if spec.target is not None}
    tensors = {placeholder: held[path].detach() for placeholder, path in paths.items()}
    given = str(signature.user_inputs[0])
    (images,) = (node.meta["val"].shape[0] for node in functional.graph.nodes if node.name == given)
    return Program(name, functional.graph, tensors, given, int(images))


def _leave_out_changes(functional: ExportedProgram, name: str) -> None:
    """Let a program give its logits alone: a functional one gives what it writes into tensors before them.

    Raises:
        InputError: Its logits depend on a tensor of its own that it writes into, such as statistics of the last batch.
    """
    graph, made = functional.graph, functional.graph_signature.output_specs
    output = next(node for node in graph.nodes if node.op == "output")
    pairs = zip(output.args[0], made, strict=True)
    output.args = (tuple(node for node, spec in pairs if spec.kind is OutputKind.USER_OUTPUT),)
    graph.eliminate_dead_code()
    changed = {spec.target for spec in made if spec.kind in {OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION}}
    read_on = {node.name for node in graph.nodes if node.users}
    for spec in functional.graph_signature.input_specs:
        if spec.target in changed and spec.arg.name in read_on:
            raise InputError(
                f"{name} changes {spec.target} each time that it is called, and what it gives depends on that.",
                remedy="Let it do that in training alone, where self.training is true; export a module in eval().",
            )


def own_shape(exported: ExportedProgram, name: str) -> tuple[int | None, int | None, int | None]:
    """The channels, height and width of the images that a program is for; None for one that may vary.

    Raises:
        InputError: It takes something else than images.
    """
    given = exported.graph_signature.user_inputs
    shape = next(node.meta["val"].shape for node in exported.graph.nodes if node.name == given[0])
    if len(given) != 1 or len(shape) != 4:
        raise InputError(f"{name} takes {len(given)} input(s), the first of {len(shape)} axes.", remedy=ONE_IN_ONE_OUT)
    channels, height, width = (length if isinstance(length, int) else None for length in shape[1:])
    return channels, height, width


def export_again(exported: ExportedProgram, example: Tensor, *, name: str) -> Program:
    """A program that takes images of several sizes, for those of one.

    Raises:
        InputError: It cannot take this one.
    """
    module = exported.module(check_guards=False)
    with torch.no_grad():
        _check_outputs(_run(module, example, name), example, name)
    with quiet():
        again = torch.export.export(module, (example,))
    return read(again, name)


def _copied(module: nn.Module, name: str) -> nn.Module:
    """The module in inference mode, in float32 on the CPU."""
    try:
        return copy.deepcopy(module).cpu().float().eval()
    except Exception as error:
        raise InputError(
            f"{name} cannot be copied; it raises {told(error)}",
            remedy="Let its tensors be parameters and buffers, and remove what computes weights anew, as weight_norm.",
        ) from error


def _check_inputs(module: nn.Module, name: str) -> None:
    empty = inspect.Parameter.empty
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = list(inspect.signature(module.forward).parameters.values())
    needed = [p.name for p in parameters if p.default is empty and p.kind in positional]
    if len(needed) > 1:
        raise InputError(f"{name} takes {len(needed)} inputs: {', '.join(needed)}.", remedy=ONE_IN_ONE_OUT)


def _check_sizes(module: nn.Module, name: str) -> None:
    lazy = [path for path, layer in module.named_modules() if getattr(layer, "has_uninitialized_params", bool)()]
    if lazy:
        raise InputError(
            f"{name} has lazy layers whose sizes nothing has told yet, such as {lazy[0] or 'itself'}.",
            remedy="Call it once with a batch of images, or give these layers their sizes.",
        )


def _check_finite(tensors: Mapping[str, Any], name: str) -> None:
    for path, tensor in tensors.items():
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(
                f"{name} has weights that are no finite numbers, in {path}.",
                remedy="Give weights of a training that did not diverge.",
            )


def _run(module: nn.Module, example: Tensor, name: str) -> Any:
    """What the module gives for the example."""
    try:
        return module(example)
    except Exception as error:
        channels, height, width = example.shape[1:]
        raise InputError(
            f"{name} cannot take images of {height}×{width} pixels with {channels} channel(s); it raises {told(error)}",
            remedy="Choose another `resolution`, or images with the channels that it takes.",
        ) from error


def _check_outputs(found: Any, example: Tensor, name: str) -> None:
    if isinstance(found, (tuple, list, dict)):
        raise InputError(f"{name} gives {len(found)} outputs in a {type(found).__name__}.", remedy=ONE_IN_ONE_OUT)
    if not isinstance(found, Tensor):
        raise InputError(f"{name} gives a value of type {type(found).__name__}.", remedy=ONE_IN_ONE_OUT)
    if found.ndim != 2 or len(found) != len(example):
        raise InputError(
            f"{name} gives a tensor of shape {tuple(found.shape)} for {len(example)} images, which is no batch of "
            "logits.",
            remedy=ONE_IN_ONE_OUT,
        )


def _first_sentence(error: Exception) -> str:
    """Torch's reason without the pages that follow it."""
    lines = [line.strip() for line in str(error).splitlines()]
    first = next((line for line in lines if line and not line.startswith("=")), type(error).__name__)
    return first if first.endswith((".", "!", "?")) else f"{first}."


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and log lines that torch.export has for those who work on torch."""
    logger = logging.getLogger("torch")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
