"""The outputs of a captured network: fixed, and where other classes are asked for, changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.errors import InputError
from edgewidth.graph.operators import Concatenate, Conv, Dense

if TYPE_CHECKING:
    from edgewidth.capture.join import Drafts
    from edgewidth.capture.trace import Trace

REASON = "these are the outputs"


def give_outputs(trace: Trace, drafts: Drafts, outputs: int | None) -> tuple[str, ...]:
    """Fix the outputs, as many as asked for; the layers that begin anew because they gave others.

    Raises:
        InputError: Their number cannot be changed.
    """
    segments, last = trace.segments, next(reversed(drafts))
    names = segments.resolve(trace.channels[last])
    there = sum(map(segments.size, names))
    if outputs is None or outputs == there:
        segments.fix(names, REASON)
        return ()
    if obstacle := _obstacle(trace, drafts, names):
        raise InputError(
            f"{trace.name} gives {there} outputs, and {outputs} are needed; their number cannot be changed, because "
            f"{obstacle}.",
            remedy="Let the callable take num_classes, or change the last layer of the network yourself.",
        )
    segments.resize(names[0], outputs)
    segments.fix(names, REASON)
    return tuple(name for name, draft in drafts.items() if draft.tensors and names == _made(trace, name))


def _obstacle(trace: Trace, drafts: Drafts, names: tuple[str, ...]) -> str | None:
    """Why the outputs are not those of one last layer; None: they are."""
    if len(names) > 1:
        return "several layers give them"
    if reason := trace.segments.reason(names[0]):
        return reason
    for name, draft in drafts.items():
        reads = [made for source in draft.inputs for made in _made(trace, source)]
        if names[0] in reads and isinstance(draft.operator, (Conv, Dense, Concatenate)):
            return f"{name} reads as many channels inside of the network"
    return None


def _made(trace: Trace, name: str) -> tuple[str, ...]:
    return trace.segments.resolve(trace.channels[name])
