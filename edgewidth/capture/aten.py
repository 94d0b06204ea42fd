"""The table of ATen operators: what each becomes in the graph.

Programs come here without in-place operators, and with composite ones taken apart by ``run_decompositions``: ReLU6 is
a hardtanh, a flatten is a view, a chunk is a split, and dropout is a copy.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from edgewidth.capture.arithmetic import binary, elements_of, expand
from edgewidth.capture.channels import cat, narrow, split
from edgewidth.capture.elementwise import PARAMETRISED, PLAIN
from edgewidth.capture.maps import adaptive_average, adaptive_max, average_pool, max_pool, mean, pad, upsample
from edgewidth.capture.origin import SUPPORTED
from edgewidth.capture.shapes import permute, select, shuffle, transpose, view
from edgewidth.capture.trace import Value
from edgewidth.capture.weighted import batch_norm, conv2d, conv2d_padded, linear, prelu
from edgewidth.documents import first_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import fx

    from edgewidth.capture.program import Program
    from edgewidth.capture.trace import Trace


def _same(trace: Trace, node: fx.Node, x: Value, *_: Any, **__: Any) -> Value:
    """A copy of a tensor, or another name of it."""
    del trace, node
    return x


def _converted(trace: Trace, node: fx.Node, x: Value, **_: Any) -> Value:
    """A copy in another type of floating-point numbers; all of ours have 32 bits."""
    if not node.meta["val"].is_floating_point():
        raise trace.unknown(node, f"makes a tensor of type {node.meta['val'].dtype}")
    return x


WEIGHTED: dict[str, Callable[..., Any]] = {
    "aten.conv2d.default": conv2d,
    "aten.conv2d.padding": conv2d_padded,
    "aten.linear.default": linear,
    "aten._native_batch_norm_legit_no_training.default": batch_norm,
    "aten.prelu.default": prelu,
}
"""Operators with weights, which are constants."""
TABLE: dict[str, Callable[..., Any]] = {
    **WEIGHTED,
    **dict.fromkeys((*PARAMETRISED, *PLAIN), elements_of),
    **dict.fromkeys(("aten.add.Tensor", "aten.sub.Tensor", "aten.mul.Tensor", "aten.div.Tensor"), binary),
    "aten.expand.default": expand,
    "aten.cat.default": cat,
    "aten.split.Tensor": split,
    "aten.split_with_sizes.default": split,
    "aten.slice.Tensor": narrow,
    "aten.channel_shuffle.default": shuffle,
    "aten.avg_pool2d.default": average_pool,
    "aten.max_pool2d.default": max_pool,
    "aten.adaptive_avg_pool2d.default": adaptive_average,
    "aten.adaptive_max_pool2d.default": adaptive_max,
    "aten.mean.dim": mean,
    "aten.amax.default": mean,
    "aten.pad.default": pad,
    "aten.constant_pad_nd.default": pad,
    "aten.upsample_nearest2d.vec": upsample,
    "aten.upsample_bilinear2d.vec": upsample,
    **dict.fromkeys(
        (
            "aten.view.default",
            "aten._unsafe_view.default",
            "aten.reshape.default",
            "aten.unsqueeze.default",
            "aten.squeeze.dim",
            "aten.squeeze.dims",
            "aten.squeeze.default",
        ),
        view,
    ),
    "aten.select.int": select,
    "aten.transpose.int": transpose,
    "aten.permute.default": permute,
    **dict.fromkeys(
        ("aten.alias.default", "aten.clone.default", "aten.detach.default", "aten._assert_tensor_metadata.default"),
        _same,
    ),
    "aten._to_copy.default": _converted,
}
"""Takes the trace, the operator's node and its arguments, tensors as ``Value`` or as weights, and gives its results."""

REMEDIES: dict[str, str] = {
    **dict.fromkeys(
        ("aten.softmax.int", "aten.log_softmax.int"),
        "Where it makes the outputs, return what it reads, the logits: the loss that training takes has it in it.",
    ),
    "aten._native_batch_norm_legit.no_stats": "Let it keep statistics, by track_running_stats: without them it "
    "normalises an image by those that it happens to be in a batch with.",
    "aten.native_dropout.default": "Let dropout end with training: functional.dropout(x, p, self.training).",
}
"""What helps with frequent operators that are not known, where that is not another operator."""


def read_into(trace: Trace, program: Program, image: Value) -> Value:
    """Read all operators of a program; what its output is.

    Raises:
        InputError: One of them is not known, or not in the way that it is used.
    """
    known: dict[fx.Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            known[node] = image if node.name == program.input else program.tensors.get(node.name)
        elif node.op == "output":
            (output,) = torch.fx.map_arg(node.args[0], known.__getitem__)
            if not isinstance(output, Value):
                raise trace.unknown(node, "gives outputs that do not depend on its input")
            return output
        else:
            known[node] = _read(trace, node, known)
    raise AssertionError("a program ends with its output")


def _read(trace: Trace, node: fx.Node, known: dict[fx.Node, Any]) -> Any:
    resolved: Any = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
    arguments, options = resolved
    if node.target is operator.getitem:
        results, place = arguments
        if place >= len(results):  # such as the places of the greatest pixels
            maker = node.all_input_nodes[0].target
            raise trace.unknown(node, f"reads result {place + 1} of {maker}, which edgewidth does not know")
        return results[place]
    if not any(isinstance(known[source], Value) for source in node.all_input_nodes):
        return _constant(trace, node, arguments, options)
    name = str(node.target)
    if name not in TABLE:
        remedy = REMEDIES.get(name, SUPPORTED)
        raise trace.unknown(node, f"uses {name}, which edgewidth does not know", remedy=remedy)
    if name in WEIGHTED and [place for place, one in enumerate(arguments) if isinstance(one, Value)] != [0]:
        raise trace.unknown(node, f"uses {name} with weights that it computes from its input")
    try:
        return TABLE[name](trace, node, *arguments, **options)
    except ValidationError as error:
        raise trace.unknown(
            node, f"uses {name} in a way that edgewidth does not know: {first_problem(error)}"
        ) from error


@torch.no_grad()
def _constant(trace: Trace, node: fx.Node, arguments: Any, options: Any) -> Any:
    """What an operator gives that reads nothing that depends on the images, such as a kernel that is normalised."""
    if not callable(node.target):
        raise trace.unknown(node, f"uses {node.target}, which edgewidth does not know")
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        raise trace.unknown(node, f"uses {node.target}, which gives something else each time")
    return node.target(*arguments, **options)
