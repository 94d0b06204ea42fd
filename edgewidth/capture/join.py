"""Layers that one operator of the graph says together: padding, convolution, batch normalisation and activation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeGuard

from edgewidth.graph.operators import Activate, BatchNorm, Depthwise, Flatten, MaxPool, ZeroPad
from edgewidth.graph.operators.conv import Convolution
from edgewidth.graph.operators.operator import Affine
from edgewidth.graph.operators.pool import GlobalPool
from edgewidth.graph.spec import INPUT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

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
        elif before is not None and readers[before.name] == 1 and _takes_in(draft, before):
            del joined[before.name]
            joined[draft.name] = draft
        else:
            joined[draft.name] = draft
    _let_absorb(joined.values())
    return joined


def _let_absorb(drafts: Iterable[Draft]) -> None:
    """Give layers that read the image a bias where they have none: it absorbs what is subtracted from pixels."""
    for draft in drafts:
        operator = draft.operator
        if INPUT in draft.inputs and isinstance(operator, Affine) and not operator.biased:
            draft.operator = changed(operator, affine="bias")
            draft.tensors["shift"] = draft.tensors["kernel"].new_zeros(len(draft.tensors["kernel"]))


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
        case MaxPool(stride=stride) if _only_leaves_out(operator) and _only_leaves_out(after.operator):
            before.operator = changed(operator, stride=_product(operator.stride, stride))
        case Depthwise() if _only_scales(after.operator) and isinstance(operator, Affine):
            _scale(before, after.tensors["kernel"].flatten(), after.tensors.get("shift"))
        case Flatten() if isinstance(operator, GlobalPool):
            before.operator = changed(operator, keepdims=False)
        case _:
            return False
    return True


def _only_scales(operator: Depthwise) -> bool:
    """Whether it multiplies each channel by one number and adds one, without its activation yet."""
    alone = operator.kernel == operator.stride == (1, 1) and operator.padding in {"same", ((0, 0), (0, 0))}
    return alone and operator.multiplier == 1 and not operator.normalised


def _scale(draft: Draft, scale: Tensor, shift: Tensor | None) -> None:
    """Let a layer give what it gave times ``scale``, and ``shift`` more: (channels,)."""
    tensors, key = draft.tensors, "scale" if draft.operator.normalised else "kernel"
    tensors[key] = tensors[key] * scale.reshape(-1, *[1] * (tensors[key].ndim - 1))
    if "shift" in tensors:
        tensors["shift"] = tensors["shift"] * scale
    if shift is not None:
        tensors["shift"] = tensors.get("shift", 0) + shift
        draft.operator = draft.operator if draft.operator.biased else changed(draft.operator, affine="bias")


def _only_leaves_out(operator: Operator) -> TypeGuard[MaxPool]:
    """Whether it is the greatest of one pixel at a time: a map without the pixels between them."""
    return isinstance(operator, MaxPool) and operator.kernel == (1, 1)


def _product(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return first[0] * second[0], first[1] * second[1]


def _takes_in(after: Draft, before: Draft) -> bool:
    """Whether a convolution now does by itself what was done before it: padding, or leaving pixels out."""
    first, operator = before.operator, after.operator
    if first.activation != "none" or not isinstance(operator, Convolution) or operator.padding == "same":
        return False
    if isinstance(first, ZeroPad):
        sides = tuple(
            (own[0] + more[0], own[1] + more[1]) for own, more in zip(operator.padding, first.padding, strict=True)
        )
        after.operator = changed(operator, padding=sides)
    elif _only_leaves_out(first) and operator.kernel == (1, 1) and operator.padding == ((0, 0), (0, 0)):
        after.operator = changed(operator, stride=_product(first.stride, operator.stride))
    else:
        return False
    after.inputs = before.inputs
    return True


def changed(operator: Operator, **attributes: Any) -> Operator:
    """The same operator but for these attributes."""
    return type(operator).model_validate(operator.model_dump() | attributes)
