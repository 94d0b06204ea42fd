"""The prior of the table as a linear map: latency = columns · weights, one strength per group of columns.

Rows are in units of ``nominal_work``, and columns are scaled so that a strength is a share of a network's
latency: a group of strength 0.01 moves the prediction of a typical configuration by 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.latency.curve import Departure
from edgewidth.latency.features import features_of, work
from edgewidth.latency.terms import Floats, Ints, Term, choice_indices, terms_of

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.latency.features import Feature

_REFERENCE_DRAWS = 64
OFFSET = "offset"
"""The group of the one column that belongs to no layer: what every inference costs."""
CURVE = "curve"
"""The group of the last columns: how latency departs from the sum over layers."""


class Block(NamedTuple):
    """Some columns as one term sees them: ``values`` (entries, columns)."""

    columns: slice
    values: Floats


@dataclass(frozen=True)
class Basis:
    """All columns for one search space. Widths of arrays: ``columns`` of them in ``len(groups)`` groups."""

    terms: tuple[Term, ...]
    blocks: tuple[tuple[Block, ...], ...]
    """For every term."""
    groups: tuple[str, ...]
    typical: Floats
    """(groups,) expected strengths."""
    group_of: Ints
    """(columns,)"""
    offset: float
    """The value of the offset's column."""
    departure: Departure
    """Over sums in units of nominal work."""

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return len(self.group_of)

    @property
    def curve(self) -> slice:
        """The columns of the curve; they are no part of the sum."""
        return slice(self.columns - self.departure.columns.shape[1], self.columns)

    def relative(self, indices: Ints, sums: Floats) -> Floats:
        """What the logarithm of a latency depends on where the sum is near ``sums``: (configurations, columns).

        Args:
            indices: (configurations, variables).
            sums: (configurations,) in units of nominal work.
        """
        rows = self.rows(indices) / sums[:, None]
        rows[:, self.curve] = self.departure.at(np.log(sums))
        return rows

    def rows(self, indices: Ints) -> Floats:
        """Configurations as rows of the linear map to their sums: (configurations, columns)."""
        rows = np.zeros((len(indices), self.columns))
        rows[:, 0] = self.offset
        for term, blocks in zip(self.terms, self.blocks, strict=True):
            entries = term.entries(indices)
            for block in blocks:
                rows[:, block.columns] += block.values[entries]
        return rows


def basis_of(space: SearchSpace) -> Basis:
    """The basis of a search space; the same space gives the same basis, so that strengths can be stored."""
    terms = terms_of(space)
    reference = _reference(space)
    nominal = nominal_work(terms, reference)
    groups, typical, group_of = [OFFSET], [0.05], [0]
    blocks: dict[str, list[Block]] = {term.name: [] for term in terms}
    by_kind = sorted(terms, key=lambda term: term.kind)
    for kind, kind_terms in groupby(by_kind, key=lambda term: term.kind):
        members = tuple(kind_terms)
        for feature in features_of(members):
            made, width = _blocks(feature, members, len(group_of))
            scale = _norm(made, members, reference, nominal)
            if scale < 1e-12:
                continue
            for name, block in made.items():
                blocks[name].append(Block(block.columns, block.values / scale))
            group_of += [len(groups)] * width
            groups.append(f"{kind}/{feature.level}/{feature.name}")
            typical.append(feature.typical)
    ends = nominal_work(terms, choice_indices(space, [space.smallest, space.largest]))
    departure = Departure.between(*ends.tolist())
    group_of += [len(groups)] * departure.columns.shape[1]
    groups.append(CURVE)
    typical.append(0.003)
    return Basis(
        terms=terms,
        blocks=tuple(tuple(blocks[term.name]) for term in terms),
        groups=tuple(groups),
        typical=np.array(typical),
        group_of=np.array(group_of, dtype=np.int64),
        offset=float(1 / np.sqrt(np.mean(nominal**-2))),
        departure=departure,
    )


def nominal_work(terms: tuple[Term, ...], indices: Ints) -> Floats:
    """The rough cost of whole configurations, in multiply-accumulates: (configurations,)."""
    total: Floats = np.sum([work(term)[term.entries(indices)] for term in terms], axis=0)
    return total


def _reference(space: SearchSpace) -> Ints:
    """Configurations by which columns are scaled: all uniform ones, and fixed random ones."""
    rng = np.random.default_rng(0)
    configs = [*space.uniforms(), *(space.sample(rng) for _ in range(_REFERENCE_DRAWS))]
    return choice_indices(space, configs)


def _blocks(feature: Feature, members: tuple[Term, ...], start: int) -> tuple[dict[str, Block], int]:
    """The columns of one feature, unscaled, by term; and how many there are."""
    shared_by: dict[str, list[Term]] = {}
    for term in members:
        shared_by.setdefault({"all": "", "shape": term.shape, "layer": term.name}[feature.level], []).append(term)
    made, width = {}, 0
    for sharing in shared_by.values():
        columns_of = feature.columns(tuple(sharing))
        for term in sharing:
            values = columns_of(term)
            made[term.name] = Block(slice(start + width, start + width + values.shape[1]), values)
        width += made[sharing[-1].name].values.shape[1]
    return made, width


def _norm(made: dict[str, Block], members: tuple[Term, ...], reference: Ints, nominal: Floats) -> float:
    """The root mean square share of the nominal cost that unit weights of these columns make."""
    start = min(block.columns.start for block in made.values())
    stop = max(block.columns.stop for block in made.values())
    rows = np.zeros((len(reference), stop - start))
    for term in members:
        block = made[term.name]
        rows[:, block.columns.start - start : block.columns.stop - start] += block.values[term.entries(reference)]
    return float(np.sqrt(np.mean(np.sum(rows**2, axis=1) / nominal**2)))
