"""A network as data: a graph of layers whose widths are fixed numbers or named width variables.

From this one description come the slimmable torch network, the plain torch network, the Keras and ONNX
networks, the terms of the latency table and the graph of the random field.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import core_schema

from edgewidth.errors import InputError
from edgewidth.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

INPUT = "input"
"""What the first layer names as its input."""

_WIDTH = re.compile(r"[1-9][0-9]{0,8}")

Op = Literal["conv", "depthwise", "add", "global_average_pool", "dense"]
Activation = Literal["none", "relu6"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Width = Annotated[int, Field(ge=1)]


class LayerSpec(Record):
    """One layer. ``conv`` and ``depthwise`` are followed by batch normalisation and have no bias.

    ``width`` is the number of output channels, or the name of the width variable that it is; ``depthwise``,
    ``add`` and ``global_average_pool`` have the width of their input and state none. Convolutions pad as
    TFLite's SAME does.
    """

    name: Name
    op: Op
    inputs: tuple[str, ...]
    width: Name | Width | None = None
    kernel: Annotated[int, Field(ge=1)] = 1
    stride: Annotated[int, Field(ge=1)] = 1
    activation: Activation = "none"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.width is None) != (self.op not in {"conv", "dense"}):
            raise ValueError(f"layer {self.name}: conv and dense state a width, other layers do not")
        if len(self.inputs) != (2 if self.op == "add" else 1):
            raise ValueError(f"layer {self.name}: {self.op} takes {2 if self.op == 'add' else 1} input(s)")
        return self

    def out_size(self, in_size: int) -> int:
        """The output's pixels along one side; SAME padding makes it the input's over the stride, rounded up."""
        return 1 if self.op in {"global_average_pool", "dense"} else math.ceil(in_size / self.stride)


class LayerShape(NamedTuple):
    """A layer with what follows from its place in the network; spatial sizes in pixels (height = width)."""

    layer: LayerSpec
    in_size: int
    out_size: int
    in_width: str | int
    out_width: str | int


class NetworkSpec(Record):
    """Layers in an order in which they can be computed; the last one gives the logits."""

    family: Name
    resolution: Annotated[int, Field(ge=1)]
    in_channels: Annotated[int, Field(ge=1)]
    num_classes: Annotated[int, Field(ge=2)]
    layers: tuple[LayerSpec, ...]

    @model_validator(mode="after")
    def _is_a_graph(self) -> Self:
        known: dict[str, tuple[str | int, int]] = {INPUT: (self.in_channels, self.resolution)}
        for layer in self.layers:
            missing = [name for name in layer.inputs if name not in known]
            if missing:
                raise ValueError(f"layer {layer.name}: input {missing[0]} is not an earlier layer")
            if layer.name in known:
                raise ValueError(f"layer {layer.name} exists twice")
            widths, sizes = (set(inputs) for inputs in zip(*(known[name] for name in layer.inputs), strict=True))
            if len(widths) != 1:
                raise ValueError(f"layer {layer.name} adds layers of different widths: {sorted(map(str, widths))}")
            if len(sizes) != 1:
                raise ValueError(f"layer {layer.name} adds layers of different sizes: {sorted(sizes)}")
            if layer.op == "dense" and sizes != {1}:
                raise ValueError(f"layer {layer.name} is dense, and its input is not pooled to one pixel")
            known[layer.name] = (layer.width or widths.pop(), layer.out_size(sizes.pop()))
        if not self.layers or self.layers[-1].op != "dense" or self.layers[-1].width != self.num_classes:
            raise ValueError("the last layer must be dense with as many outputs as there are classes")
        return self

    @cached_property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Every layer with its spatial sizes and its resolved widths, in order."""
        sizes, widths = {INPUT: self.resolution}, dict[str, str | int]({INPUT: self.in_channels})
        shapes = []
        for layer in self.layers:
            in_size, in_width = sizes[layer.inputs[0]], widths[layer.inputs[0]]
            out_size = layer.out_size(in_size)
            out_width = in_width if layer.width is None else layer.width
            sizes[layer.name], widths[layer.name] = out_size, out_width
            shapes.append(LayerShape(layer, in_size, out_size, in_width, out_width))
        return tuple(shapes)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names of the width variables, in order of first use."""
        return tuple(dict.fromkeys(layer.width for layer in self.layers if isinstance(layer.width, str)))


class ChannelConfig(tuple[int, ...]):
    """One width for every width variable, in the order of the search space; as text, ``16-32-64``."""

    __slots__ = ()

    def __str__(self) -> str:
        return "-".join(map(str, self))

    def __repr__(self) -> str:
        return f"ChannelConfig({self!s})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The configuration that ``str`` wrote.

        Raises:
            InputError: The text is not widths joined by hyphens.
        """
        parts = text.strip().split("-")
        if not all(_WIDTH.fullmatch(part) for part in parts):
            raise InputError(f"{text!r} is not a channel configuration: write widths as 16-32-64.")
        return cls(map(int, parts))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        del source, handler
        from_text = core_schema.no_info_after_validator_function(_parse_or_value_error, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.to_string_ser_schema(),
        )


def _parse_or_value_error(text: str) -> ChannelConfig:
    try:
        return ChannelConfig.parse(text)
    except InputError as error:
        raise ValueError(error.message) from error


class WidthVariable(Record):
    """A width that is searched. ``base`` is its width at width multiplier 1.0; ``choices`` ascend."""

    name: Name
    base: Width
    choices: tuple[Width, ...]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.choices or any(a >= b for a, b in zip(self.choices, self.choices[1:], strict=False)):
            raise ValueError(f"width variable {self.name}: choices must be distinct and ascend")
        return self

    def nearest(self, width: float) -> int:
        """The choice nearest to ``width``; the wider one of two that are equally near."""
        return min(self.choices, key=lambda choice: (abs(choice - width), -choice))


class SearchSpace(Record):
    """The network with the choices of every width variable."""

    network: NetworkSpec
    variables: tuple[WidthVariable, ...]

    @model_validator(mode="after")
    def _covers_the_network(self) -> Self:
        if tuple(variable.name for variable in self.variables) != self.network.variables:
            raise ValueError("the width variables must be those of the network, in its order")
        return self

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ when anything in the description differs."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return math.prod(len(variable.choices) for variable in self.variables)

    @property
    def smallest(self) -> ChannelConfig:
        """Every width at its least."""
        return ChannelConfig(variable.choices[0] for variable in self.variables)

    @property
    def largest(self) -> ChannelConfig:
        """Every width at its most: the supernet's own."""
        return ChannelConfig(variable.choices[-1] for variable in self.variables)

    def uniform(self, multiplier: float) -> ChannelConfig:
        """The configuration nearest to one width multiplier for all layers."""
        return ChannelConfig(variable.nearest(variable.base * multiplier) for variable in self.variables)

    def uniforms(self) -> Iterator[ChannelConfig]:
        """All distinct uniform configurations, from the smallest to the largest, for multipliers however fine.

        With a rising multiplier one of them follows another where a variable's next choice becomes the nearest.
        """
        turns = {(a + b) / 2 / v.base for v in self.variables for a, b in pairwise(v.choices)}
        # 1e-12: rounding must not leave a multiplier just below its turn.
        uniforms = (self.uniform(turn * (1 + 1e-12)) for turn in sorted(turns))
        yield from dict.fromkeys((self.smallest, *uniforms))

    def sample(self, rng: np.random.Generator) -> ChannelConfig:
        """A configuration drawn uniformly."""
        return ChannelConfig(int(rng.choice(variable.choices)) for variable in self.variables)

    def check(self, config: ChannelConfig) -> None:
        """Hold a configuration against the space.

        Raises:
            InputError: It has another number of widths, or a width that is not a choice.
        """
        if len(config) != len(self.variables):
            raise InputError(
                f"The channel configuration {config} has {len(config)} widths; "
                f"this search space has {len(self.variables)} width variables."
            )
        for variable, width in zip(self.variables, config, strict=True):
            if width not in variable.choices:
                choices = ", ".join(map(str, variable.choices))
                raise InputError(
                    f"The width {width} of {variable.name} in {config} is not in the search space; it may be {choices}."
                )

    def differences(self, other: SearchSpace, *, here: str = "here", there: str = "there") -> str:
        """What differs, as ``resolution: 96 here, 32 there; classes: …``; empty for equal spaces."""
        mine, theirs = self._facts(), other._facts()
        found = [f"{name}: {mine[name]} {here}, {theirs[name]} {there}" for name in mine if mine[name] != theirs[name]]
        return "; ".join(found) or ("" if self == other else "layers or single widths")

    def _facts(self) -> dict[str, object]:
        spec, last = self.network, self.variables[-1]
        ends = [last.choices[0] / last.base, last.choices[-1] / last.base]
        return {
            "network": spec.family,
            "resolution": spec.resolution,
            "input channels": spec.in_channels,
            "classes": spec.num_classes,
            "widths": f"{ends[0]:.2g} to {ends[1]:.2g} in {len(last.choices)} levels",
        }

    def indices(self, config: ChannelConfig) -> tuple[int, ...]:
        """Which choice each width is; the inverse of ``config``."""
        self.check(config)
        return tuple(v.choices.index(width) for v, width in zip(self.variables, config, strict=True))

    def config(self, indices: Sequence[int]) -> ChannelConfig:
        """The configuration with these choices."""
        return ChannelConfig(v.choices[i] for v, i in zip(self.variables, indices, strict=True))

    def widths(self, config: ChannelConfig) -> dict[str, int]:
        """The width of every variable by its name."""
        self.check(config)
        return {v.name: width for v, width in zip(self.variables, config, strict=True)}

    def choices_of(self, width: str | int) -> tuple[int, ...]:
        """The choices of a variable by name; a fixed width is its own only choice."""
        if isinstance(width, int):
            return (width,)
        return next(variable.choices for variable in self.variables if variable.name == width)
