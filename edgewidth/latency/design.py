"""Which configurations to measure: those that tell most about the latencies that will be asked for.

Candidates are chosen one by one so that the average variance over target configurations falls most (Cohn's
criterion; Cohn 1996, "Neural network exploration using optimal experiment design"). Before anything is
measured, the variances are those of the prior with its typical strengths.

That trusts the model, to which small networks say what large ones take; a device on which they do not would never
be found out. So every third one is of the size of which the fewest are measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.basis import nominal_work
from edgewidth.latency.stored import cached_basis, model_of
from edgewidth.latency.terms import choice_indices

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.latency.model import Model
    from edgewidth.latency.terms import Floats, Ints
    from edgewidth.records.table import LatencyTable

_CANDIDATES = 600
_TARGETS = 200
_NEAR = 0.08
"""How far from the budget a configuration may be predicted to be near it."""
_NEAR_DRAWS = 20_000
_BANDS = 6
"""How many bands sizes are divided into; all have the same ratio of their largest to their smallest latency."""
_TURN = 3
"""One in so many configurations is chosen from the band of which the fewest are known."""
_FIRST_ERROR = 0.01
"""Relative error of a measurement, before any is known."""
_TRIES = 20
"""Draws for every configuration that is wanted, at most."""


def first_configs(
    space: SearchSpace, count: int, rng: np.random.Generator, *, exclude: Collection[ChannelConfig] = frozenset()
) -> list[ChannelConfig]:
    """Distinct configurations to begin with: the smallest, the largest, and those that tell most.

    Where ``count`` allows it, every width of every variable occurs. Fewer than ``count`` where the space has
    no more. ``exclude``: those that are held out.
    """
    basis = cached_basis(space)
    pool, targets = _pool(space, _CANDIDATES, rng), _pool(space, _TARGETS, rng)
    deviations = basis.typical[basis.group_of]

    def relative(indices: Ints) -> Floats:
        return basis.relative(indices, nominal_work(basis.terms, indices)) * deviations

    gain = _Gain(relative(pool), relative(targets), np.full(len(pool), _FIRST_ERROR))
    ends = [0, 1][:count]
    for position in ends:
        gain.choose(position)
    sizes = np.log(nominal_work(basis.terms, pool))
    chosen = ends + gain.best(count - len(ends), forbidden=set(ends), bands=_bands(sizes, sizes[ends], _BANDS))
    covered = _covered(space, pool[chosen], fixed=len(ends))
    return _filled([space.config(row) for row in covered], count, space, rng, exclude)


def next_configs(
    table: LatencyTable,
    count: int,
    rng: np.random.Generator,
    *,
    exclude: Collection[ChannelConfig],
    near_ms: float | None = None,
) -> list[ChannelConfig]:
    """Distinct configurations that tell most beyond what the table was fitted to; fewer where the space has no more.

    Those of ``exclude``, such as measured and held-out ones, are not proposed. With a budget, ``near_ms``, candidates
    and targets are those predicted within 8 % of it, as far as any are.
    """
    space, model = table.space, model_of(table)
    pool, targets = _pool(space, _CANDIDATES, rng), _pool(space, _TARGETS, rng)
    if near_ms is not None:
        pool = _near(_pool(space, _NEAR_DRAWS, rng), model, near_ms, _CANDIDATES)
        targets = pool[:_TARGETS]
    deviations = np.sqrt(model.posterior.variances)

    def relative(indices: Ints) -> Floats:
        return model.relative(indices) * deviations

    sizes = np.log(model.predict(pool))
    error = np.hypot(model.hyper.discrepancy, model.hyper.noise.of_visit(sizes))
    gain = _Gain(relative(pool), relative(targets), error)
    gain.know(model.posterior.rows * deviations, model.posterior.root)
    excluded = set(exclude)
    forbidden = {position for position, row in enumerate(pool) if space.config(row) in excluded}
    known = np.log(model.predict(choice_indices(space, [visits.config for visits in table.fitted])))
    # Near a budget all are of one size.
    bands = _bands(sizes, known, _BANDS if near_ms is None else 1)
    chosen = gain.best(count, forbidden=forbidden, bands=bands)
    return _filled([space.config(row) for row in pool[chosen]], count, space, rng, excluded)


def held_out_configs(
    space: SearchSpace, count: int, rng: np.random.Generator, *, exclude: Collection[ChannelConfig] = frozenset()
) -> list[ChannelConfig]:
    """Distinct configurations to judge a table by: half drawn uniformly, half spread from small to large.

    Uniform draws alone would crowd at middle latencies; a budget is often elsewhere. The smallest and
    the largest are left to the fit. ``exclude``: those that are fitted.
    """
    drawn = [space.sample(rng) for _ in range(count - count // 2)]
    spread = [space.config(row) for row in _levelled(space, count // 2, rng)]
    return _filled(drawn + spread, count, space, rng, {*exclude, space.smallest, space.largest})


class _Gain:
    """How much each candidate would tell of the targets.

    Rows (·, columns) are scaled so that their products are prior covariances. Given ``k`` measurements these
    are less by the products of the (k, candidates + targets) columns kept here. ``errors``: (candidates,) standard
    deviations of their measurements.
    """

    def __init__(self, candidates: Floats, targets: Floats, errors: Floats) -> None:
        self._count = len(candidates)
        self._rows = np.concatenate([candidates, targets])
        self._columns = np.zeros((0, len(self._rows)))
        self._variance = np.sum(candidates**2, axis=1)
        self._cross = candidates @ targets.T
        self._noise = errors**2

    def know(self, rows: Floats, root: Floats) -> None:
        """Take measured configurations into account: their rows, and the Cholesky factor of their covariance."""
        columns = solve_triangular(root, rows @ self._rows.T, lower=True)
        self._explain(columns)

    def choose(self, position: int) -> None:
        """Take one candidate as measured."""
        covariance = self._rows @ self._rows[position] - self._columns.T @ self._columns[:, position]
        self._explain(covariance[None, :] / np.sqrt(max(covariance[position], 0.0) + self._noise[position]))

    def best(self, count: int, *, forbidden: Collection[int], bands: tuple[Ints, Ints]) -> list[int]:
        """Choose candidates one after the other; as many as there are.

        Args:
            count: How many.
            forbidden: Candidates that are not to be chosen.
            bands: (candidates,) of which band of sizes each is, and (bands,) how many of each are measured.
        """
        allowed = np.ones(self._count, dtype=bool)
        allowed[list(forbidden)] = False
        band, measured = bands[0], bands[1].copy()
        chosen = []
        for turn in range(min(count, int(allowed.sum()))):
            gains = np.sum(self._cross**2, axis=1) / (self._variance + self._noise)
            asked = allowed
            if turn % _TURN == _TURN - 1:
                fewest = min(np.unique(band[allowed]), key=lambda one: measured[one])
                asked = allowed & (band == fewest)
            position = int(np.argmax(np.where(asked, gains, -1.0)))
            self.choose(position)
            measured[band[position]] += 1
            allowed[position] = False
            chosen.append(position)
        return chosen

    def _explain(self, columns: Floats) -> None:
        ours, theirs = columns[:, : self._count], columns[:, self._count :]
        self._columns = np.vstack([self._columns, columns])
        self._variance = np.maximum(self._variance - np.sum(ours**2, axis=0), 0.0)
        self._cross -= ours.T @ theirs


def _bands(sizes: Floats, known: Floats, bands: int) -> tuple[Ints, Ints]:
    """The band of each size, and how many of each band are known; sizes are logarithms: (n,), (m,) → (n,), (bands,)."""
    edges = np.linspace(sizes.min(), sizes.max(), bands + 1)[1:-1]
    return np.digitize(sizes, edges), np.bincount(np.digitize(known, edges), minlength=bands)


def _pool(space: SearchSpace, count: int, rng: np.random.Generator) -> Ints:
    """Distinct candidates as choice indices: the two ends, then uniform draws, levelled ones and corners."""
    ends = choice_indices(space, [space.smallest, space.largest])
    most = ends[1]
    drawn = rng.integers(0, most + 1, size=(count // 3, len(most)))
    corners = rng.integers(0, 2, size=(count // 6, len(most))) * most
    rows = np.concatenate([ends, drawn, corners, _levelled(space, count - len(drawn) - len(corners), rng)])
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]


def _levelled(space: SearchSpace, count: int, rng: np.random.Generator) -> Ints:
    """Choices scattered about a common level that is uniform from small to large: (count, variables)."""
    most = np.array([len(variable.choices) - 1 for variable in space.variables])
    level = rng.uniform(0, 1, size=(count, 1))
    scatter = rng.uniform(0.02, 0.4, size=(count, 1)) * rng.standard_normal((count, len(most)))
    rows: Ints = np.rint(np.clip(level + scatter, 0, 1) * most).astype(np.int64)
    return rows


def _near(rows: Ints, model: Model, near_ms: float, count: int) -> Ints:
    """At most ``count`` of the rows, those predicted near a latency; the nearest where too few are."""
    distance = np.abs(np.log(model.predict(rows) / near_ms))
    near = np.flatnonzero(distance <= np.log1p(_NEAR))[:count]
    return rows[near if len(near) >= count // 4 else np.sort(np.argsort(distance)[: count // 4])]


def _covered(space: SearchSpace, rows: Ints, *, fixed: int) -> Ints:
    """The rows with every choice of every variable in them where there are rows enough; the first stay.

    A missing choice replaces the nearest one that occurs more than once in the same column.
    """
    rows = rows.copy()
    for position, variable in enumerate(space.variables):
        column = rows[fixed:, position]
        for missing in set(range(len(variable.choices))) - set(rows[:, position].tolist()):
            counts = np.bincount(rows[:, position], minlength=len(variable.choices))
            spare = np.flatnonzero(counts[column] > 1)
            if len(spare):
                column[spare[np.argmin(np.abs(column[spare] - missing))]] = missing
    return rows


def _filled(
    configs: Sequence[ChannelConfig],
    count: int,
    space: SearchSpace,
    rng: np.random.Generator,
    exclude: Collection[ChannelConfig] = frozenset(),
) -> list[ChannelConfig]:
    """The distinct ones not excluded, made up to ``count`` by others; fewer where a space hardly has as many."""
    found = dict.fromkeys(config for config in configs if config not in exclude)
    others = _drawn(space, _TRIES * count, rng)
    while len(found) < count and (config := next(others, None)) is not None:
        if config not in exclude:
            found[config] = None
    return list(found)[:count]


def _drawn(space: SearchSpace, most: int, rng: np.random.Generator) -> Iterator[ChannelConfig]:
    """So many configurations, uniformly; if there are no more than that, every one of them once, in random order."""
    if space.size > most:
        yield from (space.sample(rng) for _ in range(most))
    else:
        every = list(product(*(variable.choices for variable in space.variables)))
        yield from (ChannelConfig(every[number]) for number in rng.permutation(len(every)))
