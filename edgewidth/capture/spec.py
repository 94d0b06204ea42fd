"""What was read as a description: width variables with names in place of segments, and the weights by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.capture.join import changed
from edgewidth.graph.operators import Conv, Dense, Depthwise
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.graph.widths import TensorShape

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

    from edgewidth.capture.join import Drafts
    from edgewidth.capture.trace import Draft, Trace
    from edgewidth.capture.widths import Names
    from edgewidth.graph.operators.operator import Operator
    from edgewidth.graph.widths import Channels


def network_of(trace: Trace, drafts: Drafts) -> tuple[NetworkSpec, tuple[int, ...], dict[str, str]]:
    """The network, the width of each variable in the module, and by layer why channels that it makes cannot vary.

    Raises:
        InputError: A layer is such that edgewidth cannot build it.
    """
    variables = _Variables(trace)
    (channels,), size = map(trace.segments.size, trace.channels[INPUT]), trace.sizes[INPUT]
    shapes = {INPUT: TensorShape(size, (channels,))}
    nodes, fixed = [], {}
    for name, draft in drafts.items():
        operator = variables.operator(draft)
        try:
            shapes[name] = operator.output_shape([shapes[source] for source in draft.inputs])
        except ValueError as error:
            raise trace.unknown(draft.node, f"has the layer {name}, which cannot be built: {error}") from error
        nodes.append(Node(name=name, operator=operator, inputs=draft.inputs))
        if isinstance(operator, (Conv, Dense)) and (reason := variables.reason(trace.channels[name])):
            fixed[name] = reason
    network = NetworkSpec(family=_family(trace.name), resolution=size, in_channels=channels, nodes=tuple(nodes))
    return network, variables.bases, fixed


def weights_of(drafts: Drafts, fresh: Collection[str]) -> dict[str, Tensor]:
    """The tensors of all layers but the ``fresh`` ones, by the names that they have in a network of ours."""
    state = {}
    for name, draft in drafts.items():
        for key, tensor in draft.tensors.items() if name not in fresh else ():
            room = "statistics" if key in {"mean", "variance"} else "layers"
            state[f"{room}.{name}.{key}"] = tensor.detach().float().contiguous()
    return state


class _Variables:
    """Names width variables in the order in which they are asked for."""

    def __init__(self, trace: Trace) -> None:
        self._trace, self._segments = trace, trace.segments
        self._names: dict[str, str] = {}

    @property
    def bases(self) -> tuple[int, ...]:
        """The widths that the variables have in the module."""
        return tuple(map(self._segments.size, self._names))

    def operator(self, draft: Draft) -> Operator:
        """The operator of a layer with the widths or the segments that it is to have."""
        if isinstance(draft.operator, (Conv, Dense)):
            width = self._channels(self._trace.channels[draft.name])
            return changed(draft.operator, width=width[0] if len(width) == 1 else width)
        if isinstance(draft.operator, Depthwise) and draft.operator.multiplier > 1:
            read, made = (self._channels(self._trace.channels[name]) for name in (draft.inputs[0], draft.name))
            alike = made == tuple(segment * draft.operator.multiplier for segment in read)
            return draft.operator if alike else changed(draft.operator, segments=made)
        if draft.cut is not None:
            ends = self._segments.ends(self._trace.channels[draft.inputs[0]])
            start, stop = map(ends.index, draft.cut)
            return changed(draft.operator, start=start, stop=stop)
        return draft.operator

    def reason(self, names: Names) -> str | None:
        """Why the first of these channels that cannot vary cannot; None: all can."""
        reasons = map(self._segments.reason, self._segments.resolve(names))
        return next((reason for reason in reasons if reason is not None), None)

    def _channels(self, names: Names) -> Channels:
        return tuple(
            self._segments.size(segment)
            if self._segments.reason(segment) is not None
            else self._names.setdefault(segment, f"w{len(self._names)}")
            for segment in self._segments.resolve(names)
        )


def _family(name: str) -> str:
    """What a network is called, in the form that names have: the callable's own name, or the file's."""
    own = name.rpartition(":")[2].rpartition("/")[2].removesuffix(".pt2")
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in own.lower()).strip("_")
    return kept if kept[:1].isalpha() else f"network_{kept}".strip("_")
