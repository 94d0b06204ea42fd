"""Layers that one operator of the graph says together: padding, convolution, batch normalisation and activation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from edgewidth.graph.operators import Activate, BatchNorm, Flatten, ZeroPad
from edgewidth.graph.operators.conv import Convolution
from edgewidth.graph.operators.operator import Affine
from edgewidth.graph.operators.pool import GlobalPool

if TYPE_CHECKING:
    from edgewidth.capture.trace import Draft
    from edgewidth.graph.operators.operator import Operator

Drafts = dict[str, "Draft"]


def join(drafts: Drafts, output: str) -> Drafts:
    """The layers that the output depends on, each joined to the one before it where one operator says both.

    A layer is joined only if nothing else reads what it reads.
    """
    drafts = _needed(drafts, output)
    readers = Counter(name for draft in drafts.values() for name in draft.inputs)
    readers[output] += 1
    joined: Drafts = {}
    stand_in: dict[str, str] = {}
    """The layer that gives what a joined one gave."""
    for draft in drafts.values():
        draft.inputs = tuple(stand_in.get(name, name) for name in draft.inputs)
        before = joined.get(draft.inputs[0])
        if before is not None and readers[before.name] == 1 and _absorbs(before, draft):
            stand_in[draft.name] = before.name
            readers[before.name] = readers[draft.name]
        elif before is not None and readers[before.name] == 1 and _absorbs_padding(draft, before):
            del joined[before.name]
            joined[draft.name] = draft
        else:
            joined[draft.name] = draft
    return joined


def _needed(drafts: Drafts, output: str) -> Drafts:
    needed = {output}
    for draft in reversed(drafts.values()):
        if draft.name in needed:
            needed.update(draft.inputs)
    return {name: draft for name, draft in drafts.items() if name in needed}


def _absorbs(before: Draft, after: Draft) -> bool:
    """Whether the layer before now does what the one after it did, too."""
    operator = before.operator
    if operator.activation != "none":
        return False
    match after.operator:
        case Activate(activation=activation):
            before.operator = changed(operator, activation=activation)
        case BatchNorm(epsilon=epsilon) if isinstance(operator, Affine) and not operator.normalised:
            before.operator = changed(operator, affine="batch_norm", epsilon=epsilon)
            bias = before.tensors.get("shift")
            before.tensors |= after.tensors
            if bias is not None:
                # (x + bias - mean) is what normalisation scales.
                before.tensors["mean"] = after.tensors["mean"] - bias
        case Flatten() if isinstance(operator, GlobalPool):
            before.operator = changed(operator, keepdims=False)
        case _:
            return False
    return True


def _absorbs_padding(after: Draft, before: Draft) -> bool:
    """Whether a convolution now pads by itself what was padded before it."""
    pads, operator = before.operator, after.operator
    if not (isinstance(pads, ZeroPad) and isinstance(operator, Convolution)) or operator.padding == "same":
        return False
    if pads.activation != "none":
        return False
    sides = tuple(
        (own[0] + more[0], own[1] + more[1]) for own, more in zip(operator.padding, pads.padding, strict=True)
    )
    after.operator = changed(operator, padding=sides)
    after.inputs = before.inputs
    return True


def changed(operator: Operator, **attributes: Any) -> Operator:
    """The same operator but for these attributes."""
    return type(operator).model_validate(operator.model_dump() | attributes)
