"""From losses of whole configurations to what each width at each place costs.

The excess loss of a configuration over the maximum one is taken as a sum over width variables, plus products of
neighbouring variables where the data ask for them, so the searched field stays pairwise:

    excess(w) = offset + Σ_v f_v(w_v) + Σ_(u,v) g_uv(w_u, w_v)

With x = width / widest, every f_v is a combination of two curves, each falling with the width: ``1/x − 1 + log x``,
steep at the narrow end and flat at the wide one, and ``−log x − narrowest (1/x − 1)``, the other way round. They
span the same functions as ``{1/w, log w}``. The products are those of the centred curves of two neighbours.
The coefficients have zero-mean normal priors, one variance for each kind of term, which are found with the noise
by maximising the marginal likelihood (MacKay 1992, "Bayesian interpolation"): how much structure to trust is
learned from the data, and every estimate comes with a standard error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.records.losses import (
    EvaluatedConfig,
    LossQuality,
    PairLosses,
    UnaryLosses,
    VariableLosses,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.records.network import ChannelConfig, SearchSpace, WidthVariable

ROUNDS = 100
"""At most so many steps of the fixed-point iteration for the variances."""
SURE = 2.0
"""A coefficient that makes a loss rise with the width is believed from so many standard errors on."""
CURVES = 2
"""Coefficients per variable."""


class Evaluations(NamedTuple):
    """Configurations and their excess losses (n,) in nats."""

    configs: Sequence[ChannelConfig]
    excess: NDArray[np.float64]


@dataclass(frozen=True)
class Posterior:
    """Coefficients of the design's columns: mean, covariance, and the noise of one evaluation (sigma)."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    sigma: float
    log_evidence: float


def curves(variable: WidthVariable) -> NDArray[np.float64]:
    """The two falling curves of a variable for each of its choices: (choices, 2), 0 at the widest."""
    x = np.array(variable.choices, float) / variable.choices[-1]
    steep = 1 / x - 1 + np.log(x)
    even = -np.log(x) - x[0] * (1 / x - 1)
    # Scaled so that one prior variance suits both.
    return np.stack([curve / max(float(curve[0]), 1e-12) for curve in (steep, even)], axis=1)


@dataclass(frozen=True)
class Design:
    """How configurations become rows of a regression: an offset, unary curves, products of neighbours."""

    space: SearchSpace
    pairs: tuple[tuple[int, int], ...]

    @property
    def groups(self) -> NDArray[np.int64]:
        """Which prior variance each column has: 0 offset, 1 and 2 the two curves, 3 products."""
        unary = [1, 2] * len(self.space.variables)
        return np.array([0, *unary, *[3] * (CURVES**2 * len(self.pairs))])

    def tables(self) -> list[NDArray[np.float64]]:
        """The curves of every variable."""
        return [curves(variable) for variable in self.space.variables]

    def rows(self, configs: Sequence[ChannelConfig]) -> NDArray[np.float64]:
        """The design matrix (n, columns)."""
        tables = self.tables()
        chosen = np.array([self.space.indices(config) for config in configs])
        unary = [table[chosen[:, v]] for v, table in enumerate(tables)]
        products = [
            _products(tables[u] - tables[u].mean(0), tables[v] - tables[v].mean(0))[chosen[:, u], chosen[:, v]]
            for u, v in self.pairs
        ]
        return np.concatenate([np.ones((len(configs), 1)), *unary, *products], axis=1)


def _products(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """All products of two variables' curves: (choices, choices, 4)."""
    return (a[:, None, :, None] * b[None, :, None, :]).reshape(len(a), len(b), -1)


def neighbours(space: SearchSpace) -> tuple[tuple[int, int], ...]:
    """Pairs of variables that meet in a layer: one is its input's width, the other its output's."""
    index = {variable.name: i for i, variable in enumerate(space.variables)}
    pairs = {
        (index[shape.in_width], index[shape.out_width])
        for shape in space.network.shapes
        if isinstance(shape.in_width, str) and isinstance(shape.out_width, str) and shape.in_width != shape.out_width
    }
    return tuple(sorted({(min(pair), max(pair)) for pair in pairs}))


def solve_posterior(rows: NDArray[np.float64], values: NDArray[np.float64], groups: NDArray[np.int64]) -> Posterior:
    """Bayesian linear regression; the variance of every group but 0 and the noise maximise the evidence."""
    count = len(values)
    spread = max(float(values.var()), 1e-12)
    precisions = np.full(int(groups.max()) + 1, 1 / spread)
    precisions[0] = 1e-6 / spread
    noise = 0.1 * spread
    gram, moment = rows.T @ rows, rows.T @ values
    for _ in range(ROUNDS):
        mean, covariance = _conditional(gram, moment, precisions[groups], noise)
        known = 1 - precisions[groups] * np.diag(covariance)
        before = np.append(precisions, noise)
        for group in range(1, len(precisions)):
            mine = groups == group
            if mine.any():
                precisions[group] = np.clip(
                    known[mine].sum() / max(float(mean[mine] @ mean[mine]), 1e-300), 1e-6 / spread, 1e8 / spread
                )
        residual = float(((values - rows @ mean) ** 2).sum())
        noise = max(residual / max(count - float(known.sum()), 1.0), 1e-8 * spread)
        if np.allclose(before, np.append(precisions, noise), rtol=1e-4):
            break
    mean, covariance = _conditional(gram, moment, precisions[groups], noise)
    return Posterior(mean, covariance, float(np.sqrt(noise)), _log_evidence(rows, values, precisions[groups], noise))


def _conditional(
    gram: NDArray[np.float64], moment: NDArray[np.float64], precisions: NDArray[np.float64], noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    covariance = np.asarray(np.linalg.inv(gram / noise + np.diag(precisions)), np.float64)
    return np.asarray(covariance @ moment / noise, np.float64), covariance


def _log_evidence(
    rows: NDArray[np.float64], values: NDArray[np.float64], precisions: NDArray[np.float64], noise: float
) -> float:
    marginal = (rows / precisions) @ rows.T + noise * np.eye(len(values))
    _, log_determinant = np.linalg.slogdet(marginal)
    fit = float(values @ np.linalg.solve(marginal, values))
    return -0.5 * (fit + float(log_determinant) + len(values) * float(np.log(2 * np.pi)))


def fit_posterior(design: Design, evaluations: Evaluations) -> Posterior:
    """The posterior of a design, its unary curves falling with the width where the data cannot tell.

    Raising coefficients that are not sure are removed one by one, the least credible first.
    """
    rows, groups = design.rows(evaluations.configs), design.groups
    free = np.ones(len(groups), bool)
    posterior = solve_posterior(rows, evaluations.excess, groups)
    deviations = np.sqrt(np.diag(posterior.covariance))
    for _ in range(len(groups)):
        mean = np.zeros(len(groups))
        mean[free] = posterior.mean
        rising = (mean < 0) & (mean > -SURE * deviations) & np.isin(groups, (1, 2))
        if not rising.any():
            break
        free[np.flatnonzero(rising)[np.argmin(mean[rising])]] = False
        posterior = solve_posterior(rows[:, free], evaluations.excess, groups[free])
    return _embed(posterior, free, solve_posterior(rows, evaluations.excess, groups).covariance)


def _embed(posterior: Posterior, free: NDArray[np.bool_], covariance: NDArray[np.float64]) -> Posterior:
    """The posterior over all columns; the covariance is that without removal, so that no error is understated."""
    mean = np.zeros(len(free))
    mean[free] = posterior.mean
    return Posterior(mean, covariance, posterior.sigma, posterior.log_evidence)


def fit_losses(
    space: SearchSpace,
    fitted: Evaluations,
    held_out: Evaluations,
    *,
    data_fingerprint: str,
    images: int,
    max_loss: float,
) -> UnaryLosses:
    """The unary losses of a space from evaluated configurations.

    Products of neighbours are used if the evidence is for them. ``held_out`` judges and is never fitted.
    """
    designs = [Design(space, ()), Design(space, neighbours(space))]
    candidates = [(design, fit_posterior(design, fitted)) for design in designs]
    design, posterior = max(candidates, key=lambda candidate: candidate[1].log_evidence)
    tables = design.tables()
    offset, unaries = _unary_tables(design, posterior, tables)
    return UnaryLosses(
        space=space,
        data_fingerprint=data_fingerprint,
        images=images,
        offset=offset,
        variables=unaries,
        pairs=_pair_tables(design, posterior, tables),
        fitted=_records(fitted),
        held_out=_records(held_out),
        quality=judge(design.rows(held_out.configs) @ posterior.mean, held_out.excess),
        max_loss=max_loss,
    )


def _unary_tables(
    design: Design, posterior: Posterior, tables: list[NDArray[np.float64]]
) -> tuple[float, tuple[VariableLosses, ...]]:
    unaries = []
    for index, (variable, table) in enumerate(zip(design.space.variables, tables, strict=True)):
        columns = slice(1 + CURVES * index, 1 + CURVES * (index + 1))
        variance = np.einsum("ia,ab,ib->i", table, posterior.covariance[columns, columns], table)
        unaries.append(
            VariableLosses(
                variable=variable.name,
                values=tuple(map(float, table @ posterior.mean[columns])),
                standard_errors=tuple(map(float, np.sqrt(np.maximum(variance, 0)))),
            )
        )
    return float(posterior.mean[0]), tuple(unaries)


def _pair_tables(design: Design, posterior: Posterior, tables: list[NDArray[np.float64]]) -> tuple[PairLosses, ...]:
    first = 1 + CURVES * len(tables)
    pairs = []
    for index, (u, v) in enumerate(design.pairs):
        columns = slice(first + CURVES**2 * index, first + CURVES**2 * (index + 1))
        products = _products(tables[u] - tables[u].mean(0), tables[v] - tables[v].mean(0))
        values = products @ posterior.mean[columns]
        names = (design.space.variables[u].name, design.space.variables[v].name)
        pairs.append(PairLosses(variables=names, values=tuple(tuple(map(float, row)) for row in values)))
    return tuple(pairs)


def _records(evaluations: Evaluations) -> tuple[EvaluatedConfig, ...]:
    return tuple(
        EvaluatedConfig(config=config, excess_loss=float(excess))
        for config, excess in zip(evaluations.configs, evaluations.excess, strict=True)
    )


def judge(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> LossQuality:
    """How well predictions of held-out configurations meet their losses."""
    residual = measured - predicted
    total = float(((measured - measured.mean()) ** 2).sum())
    return LossQuality(
        held_out=len(measured),
        spearman=spearman(predicted, measured),
        r2=1 - float((residual**2).sum()) / total if total > 0 else 0.0,
        residual_sigma=float(np.sqrt(np.mean(residual**2))),
    )


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The rank correlation; equal values share their mean rank. 0 where one side is constant."""
    ranks = [_ranks(a), _ranks(b)]
    if any(rank.std() == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def loss_factors(losses: UnaryLosses) -> tuple[float, list[tuple[tuple[int, ...], NDArray[np.float64]]]]:
    """The losses as factors over variable indices, for the search: (offset, [(scope, values)])."""
    index = {variable.name: i for i, variable in enumerate(losses.space.variables)}
    factors: list[tuple[tuple[int, ...], NDArray[np.float64]]] = [
        ((index[unary.variable],), np.array(unary.values)) for unary in losses.variables
    ]
    factors += [(tuple(index[name] for name in pair.variables), np.array(pair.values)) for pair in losses.pairs]
    return losses.offset, factors
