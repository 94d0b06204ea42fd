"""A search space: the network with the choices of every width variable, and its configurations."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from pydantic import GetCoreSchemaHandler, model_validator
from pydantic_core import core_schema

from edgewidth.documents import Record
from edgewidth.errors import InputError
from edgewidth.graph.spec import NetworkSpec
from edgewidth.graph.version1 import fingerprint_of_version_1
from edgewidth.graph.widths import Name, Segment, Width
from edgewidth.resolution import resolution_text

if TYPE_CHECKING:
    import numpy as np

_WIDTH = re.compile(r"[1-9][0-9]{0,8}")


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
        """16 hexadecimal digits that differ when anything in the description differs.

        Defaults are left out, so that a field with a default may be added and the digits stay.
        """
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:16]

    @property
    def old_fingerprint(self) -> str:
        """The digits by which version 1 knew this search space."""
        return fingerprint_of_version_1(self.model_dump(mode="json", exclude_defaults=True))

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

    def check_choice(self) -> None:
        """Whether there is anything to choose.

        Raises:
            InputError: There is only one configuration.
        """
        if self.size == 1:
            raise InputError(
                f"These widths leave one configuration, {self.smallest}: there is nothing to search.",
                remedy="Widen `min_width` and `max_width`, raise `levels`, lower `divisor` or fix fewer widths; "
                "edgewidth finetune trains that one network by its `config`.",
            )

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
            "resolution": resolution_text(spec.resolution),
            "input channels": spec.in_channels,
            "classes": spec.outputs,
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

    def choices_of(self, segment: Segment) -> tuple[int, ...]:
        """The choices of a variable by name; a fixed width is its own only choice."""
        if isinstance(segment, int):
            return (segment,)
        return next(variable.choices for variable in self.variables if variable.name == segment)
