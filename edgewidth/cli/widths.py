"""The options that say which widths of a network are searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from edgewidth.cli.record import option
from edgewidth.cli.values import multipliers
from edgewidth.graph.families.ranges import WidthRanges


@dataclass(frozen=True)
class WidthOptions:
    """The range of all widths, and what is otherwise for single ones."""

    min_width: Annotated[float, option("--min-width", type=float, default=0.2, help="Smallest width multiplier.")]
    max_width: Annotated[float, option("--max-width", type=float, default=1.5, help="Largest width multiplier.")]
    levels: Annotated[
        int | None, option("--levels", type=click.IntRange(1, 64), help="Width multipliers.  [default: one every 0.1]")
    ]
    divisor: Annotated[int, option("--divisor", type=click.IntRange(1, 64), default=8, help="Widths' multiple.")]
    fix: Annotated[
        tuple[str, ...],
        option(
            "--fix",
            multiple=True,
            metavar="NAME",
            help="Leave a width variable, or those of a layer, as wide as they are; may be repeated.",
        ),
    ]
    only: Annotated[
        tuple[str, ...],
        option("--only", multiple=True, metavar="NAME", help="Search this one and leave others; may be repeated."),
    ]
    own: Annotated[
        dict[str, tuple[float, float]],
        option(
            "--range",
            multiple=True,
            callback=multipliers,
            metavar="NAME=0.5:1",
            help="Width multipliers of a single width variable, or of those of a layer; may be repeated.",
        ),
    ]

    def ranges(self, *, with_base: bool) -> WidthRanges:
        """What is searched; ``with_base``: every width that the network has now is a choice.

        Raises:
            InputError: A range is empty.
        """
        return WidthRanges(
            self.min_width, self.max_width, self.levels, self.divisor, self.fix, self.only, self.own, with_base
        )
