"""Which widths are searched: ranges for all of them, and for single ones."""

from __future__ import annotations

from typing import Any

import pytest

from edgewidth.errors import InputError
from edgewidth.graph.families.ranges import WidthRanges, space_around
from edgewidth.graph.operators import Add, Conv, Dense, GlobalAveragePool
from edgewidth.graph.spec import NetworkSpec, Node

BASES = (12, 4, 40)


def network() -> NetworkSpec:
    """Three width variables; ``sum`` has the channels of ``stem`` and ``last``."""
    nodes = (
        Node(name="stem", operator=Conv(width="w0"), inputs=("input",)),
        Node(name="inner", operator=Conv(width="w1"), inputs=("stem",)),
        Node(name="last", operator=Conv(width="w0"), inputs=("inner",)),
        Node(name="sum", operator=Add(), inputs=("stem", "last")),
        Node(name="wide", operator=Conv(width="w2"), inputs=("sum",)),
        Node(name="pool", operator=GlobalAveragePool(), inputs=("wide",)),
        Node(name="logits", operator=Dense(width=5), inputs=("pool",)),
    )
    return NetworkSpec(family="mine", resolution=8, in_channels=3, nodes=nodes)


def choices(**options: Any) -> list[tuple[int, ...]]:
    """Of every variable."""
    return [variable.choices for variable in space_around(network(), BASES, WidthRanges(**options)).variables]


def test_base_widths_are_choices_where_they_are_asked_for() -> None:
    """Though they are no multiples of the divisor, and below it; unless the range leaves them out."""
    assert choices(min_width=0.5, levels=2) == [(8, 16), (8,), (24, 64)]
    assert choices(min_width=0.5, levels=2, with_base=True) == [(8, 12, 16), (4, 8), (24, 40, 64)]
    assert choices(min_width=0.5, max_width=0.9, levels=2, with_base=True) == [(8,), (4,), (24, 40)]


@pytest.mark.parametrize(
    ("options", "searched"),
    [
        ({"fix": ("w1",)}, {0, 2}),
        ({"fix": ("sum", "wide")}, {1}),
        ({"only": ("last",)}, {0}),
        ({"only": ("w0", "w1"), "fix": ("w0",)}, {1}),
        ({"own": {"wide": (1.0, 1.0)}}, {0, 1, 2} - {2}),
    ],
)
def test_single_widths_are_fixed_by_name_or_layer(options: dict[str, Any], searched: set[int]) -> None:
    found = choices(with_base=True, **options)
    assert {place for place, widths in enumerate(found) if len(widths) > 1} == searched
    assert all(found[place] == (BASES[place],) for place in {0, 1, 2} - searched)


def test_a_single_width_has_a_range_of_its_own() -> None:
    assert choices(own={"stem": (1.0, 4.0)}, levels=3) == [(16, 32, 48), (8,), (8, 32, 64)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fix": ("w9",)}, "'w9' is neither a width variable nor a layer of mine"),
        ({"only": ("logits",)}, "'logits' is a layer whose widths cannot vary"),
        ({"own": {"nowhere": (0.5, 1.0)}}, "'nowhere' is neither"),
        ({"own": {"w0": (1.0, 0.5)}}, "Widths from 1 to 0.5 .* are no range"),
    ],
)
def test_names_and_ranges_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        choices(**options)
    assert caught.value.remedy
