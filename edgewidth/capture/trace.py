"""Reading a program: every tensor of it as what a layer gives, or as a function of single elements of that."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch

from edgewidth.capture.elementwise import activation_of, line_of
from edgewidth.capture.origin import SUPPORTED, module_of, origin
from edgewidth.capture.widths import Segments
from edgewidth.errors import InputError
from edgewidth.graph.operators import Activate, Depthwise, Flatten, Unflatten
from edgewidth.graph.operators.activation import name_of
from edgewidth.graph.spec import INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from torch import Tensor, fx

    from edgewidth.capture.widths import Names
    from edgewidth.graph.operators.activation import Activation
    from edgewidth.graph.operators.operator import Operator


@dataclass
class Draft:
    """A layer while the network is being read: its widths are names of segments."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    node: fx.Node
    """The operator of the program that asked for it."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """Its weights: kernel, shift and scale, and mean and variance of batch normalisation."""
    cut: tuple[int, int] | None = None
    """Of a slice: the first channel and the one after the last."""

    @property
    def computes(self) -> tuple[Hashable, ...]:
        """What it computes of what: equal for layers that give the same, as where one module is called twice."""
        # With the strides: a kernel and its transpose lie at the same place, and may have the same shape.
        weights = ((key, one.data_ptr(), one.shape, one.stride()) for key, one in self.tensors.items())
        return self.operator.model_dump_json(exclude={"width"}), self.inputs, self.cut, *weights


class Elements(NamedTuple):
    """A function of the single elements of what the layer ``base`` gives."""

    base: str
    function: Callable[[Tensor], Tensor]
    activation: Activation | None
    """As what it is known; None: as none of the activations that there are."""
    apart: Callable[[], str]
    """Makes layers of the operators that it is composed of, and tells the last one."""


@dataclass(eq=False)
class Value:
    """A tensor of the program: what a layer gives, or elements that no layer computes yet."""

    shape: tuple[int, ...]
    """As torch has it."""
    made: str | Elements
    order: str = ""
    """How its axes lie otherwise than (n, channels, height, width), in words."""

    @property
    def base(self) -> str:
        """The layer of whose single elements it is a function."""
        return self.made if isinstance(self.made, str) else self.made.base

    def function(self, x: Tensor) -> Tensor:
        """That function."""
        return x if isinstance(self.made, str) else self.made.function(x)


class Trace:
    """The layers of a program as they are read one after another."""

    def __init__(self, name: str, image: Sequence[int]) -> None:
        self.name = name
        self.segments = Segments()
        self.drafts: dict[str, Draft] = {}
        self.channels: dict[str, Names] = {INPUT: (self.segments.new(image[1]),)}
        self.sizes: dict[str, tuple[int, ...]] = {INPUT: tuple(image[2:])}
        self._computed_already: dict[tuple[Hashable, ...], str] = {}
        self._activated: dict[tuple[str, Activation], str] = {}
        self.segments.fix(self.channels[INPUT], "these are the channels of the images")

    def called(self, node: fx.Node) -> str:
        """What a layer is called that an operator asks for now: by its module, or else by the operator."""
        return self._unused(module_of(node)[0] or node.name)

    def emit(self, draft: Draft, channels: Names, shape: Sequence[int]) -> Value:
        """Add a layer whose output has these channels, and as torch has it this shape; its name may be changed.

        Where a layer computes the same already, it is that one.
        """
        if same := self._computed_already.get(draft.computes):
            return Value(tuple(shape), same)
        draft.name = self._unused(draft.name)
        self.drafts[draft.name] = draft
        self._computed_already[draft.computes] = draft.name
        self.channels[draft.name] = channels
        self.sizes[draft.name] = tuple(shape[2:])
        return Value(tuple(shape), draft.name)

    def same_channels(
        self, node: fx.Node, operator: Operator, inputs: Sequence[str], shape: Sequence[int], name: str = ""
    ) -> Value:
        """Add a layer whose output has the channels of its first input, called as the operator if by no name."""
        return self.emit(Draft(name or node.name, operator, tuple(inputs), node), self.channels[inputs[0]], shape)

    def layer(self, value: Value, node: fx.Node) -> str:
        """The layer that gives a tensor, made now if there is none yet.

        Raises:
            InputError: No layer can, or the axes of the tensor lie in another order than layers have them.
        """
        if value.order:
            raise self.unknown(node, f"reads a tensor {value.order}")
        if isinstance(value.made, Elements):
            value.made = self._computed(value.made, node)
        return value.made

    def as_map(self, value: Value, node: fx.Node) -> str:
        """The layer that gives a tensor as a map: a vector becomes one of a single pixel."""
        name = self.layer(value, node)
        if self.sizes[name]:
            return name
        return self.same_channels(node, Unflatten(), [name], (*value.shape[:2], 1, 1), f"{name}_map").base

    def as_vector(self, value: Value, node: fx.Node) -> str:
        """The layer that gives a tensor as a vector: a map of a single pixel becomes one.

        Raises:
            InputError: It is a map of several pixels.
        """
        name = self.layer(value, node)
        if not self.sizes[name]:
            return name
        if self.sizes[name] != (1, 1):
            raise self.unknown(node, "reads a flattened map of several pixels, which only a linear layer can")
        return self.same_channels(node, Flatten(), [name], value.shape[:2], f"{name}_vector").base

    def composed(
        self,
        values: Sequence[Value],
        function: Callable[..., Tensor],
        apart: Callable[[], str],
        activation: Activation | None = None,
    ) -> Value:
        """A function of the elements of values that share their base; alone, on a layer, it is ``activation``."""

        def whole(x: Tensor) -> Tensor:
            return function(*(value.function(x) for value in values))

        alone = all(isinstance(value.made, str) for value in values)
        known = activation_of(whole) or (activation if alone else None)
        base, first = values[0].base, values[0]
        return Value(first.shape, base if known == "none" else Elements(base, whole, known, cache(apart)), first.order)

    def unknown(self, node: fx.Node, what: str, *, remedy: str = SUPPORTED) -> InputError:
        """An error that says what cannot be captured, and which module and line asked for it."""
        return InputError(f"{self.name} {what}{origin(node)}", remedy=remedy)

    def activated(self, base: str, activation: Activation, node: fx.Node) -> str:
        """The layer that is an activation of another one; one for all that ask for it."""
        if (base, activation) not in self._activated:
            shape, name = (0, 0, *self.sizes[base]), f"{base}_{name_of(activation)}"
            made = self.same_channels(node, Activate(activation=activation), [base], shape, name)
            self._activated[base, activation] = made.base
        return self._activated[base, activation]

    def scaled(self, value: Value, scale: Tensor | float, shift: Tensor | float, node: fx.Node) -> str:
        """The layer that multiplies a tensor by ``scale`` and adds ``shift``: one number, or one for each channel.

        It is a depthwise convolution of one pixel, and joined to the layer before it where that has weights.
        """
        source = self.as_map(value, node)
        channels = sum(map(self.segments.size, self.channels[source]))
        kernel, bias = (torch.as_tensor(numbers).float().expand(channels) for numbers in (scale, shift))
        tensors = {"kernel": kernel.reshape(-1, 1, 1, 1)} | ({"shift": bias} if bias.any() else {})
        made = Depthwise(affine="bias" if bias.any() else "none")
        draft = Draft(self.called(node), made, (source,), node, tensors)
        return self.emit(draft, self.channels[source], (*value.shape[:2], *self.sizes[source])).base

    def _computed(self, elements: Elements, node: fx.Node) -> str:
        if elements.activation is not None:
            return self.activated(elements.base, elements.activation, node)
        if line := line_of(elements.function):
            return self.scaled(Value((0, 0, *self.sizes[elements.base]), elements.base), *line, node)
        return elements.apart()

    def _unused(self, wanted: str) -> str:
        """The name in the form that layers have, with a number where another layer has it."""
        base = re.sub(r"[^a-z0-9_]+", "_", wanted.lower()).strip("_") or "layer"
        base = base if base[0].isalpha() else f"layer_{base}"
        name, count = base, 2
        while name in self.channels:
            name, count = f"{base}_{count}", count + 1
        return name
