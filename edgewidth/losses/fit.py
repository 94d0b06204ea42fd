"""Tells what each width at each place costs, from losses of whole configurations.

The excess loss of a configuration over the maximum one is taken as a sum over width variables, plus products of
neighbouring variables where the data ask for them, so the searched field stays pairwise:

    excess(w) = offset + Σ_v f_v(w_v) + Σ_(u,v) g_uv(w_u, w_v)

With x = width / widest, every f_v is a combination of two curves, each falling with the width: ``1/x − 1 + log x``,
steep at the narrow end and flat at the wide one, and ``−log x − narrowest (1/x − 1)``, the other way round. They
span the same functions as ``{1/w, log w}``. Of two neighbours the product is that of their centred second curves:
all four products predict no better.
The coefficients have zero-mean normal priors, one variance for each kind of term, which are found with the noise
by maximising the marginal likelihood (MacKay 1992, "Bayesian interpolation"): how much structure to trust is
learned from the data, and every estimate comes with a standard error. The fits with and without products are averaged
with the weight that predicts left-out evaluations best (stacking: Yao et al. 2018, arXiv 1704.02030): the marginal
likelihood alone chooses products that do not predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.widths import variables_of
from edgewidth.search.factors import Factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable

    Array = NDArray[np.float64]

ROUNDS = 100
"""At most so many steps of the fixed-point iteration for the variances."""
SURE = 2.0
"""A coefficient that makes a loss rise with the width is believed from so many standard errors on."""


class Evaluations(NamedTuple):
    """Configurations and their excess losses (n,) in nats."""

    configs: Sequence[ChannelConfig]
    excess: Array


@dataclass(frozen=True)
class Posterior:
    """Coefficients of the design's columns: mean, covariance, and the noise of one evaluation (sigma)."""

    mean: Array
    covariance: Array
    sigma: float
    left_out: Array
    """What the fit to all other evaluations predicts of each (n,)."""


def curves(variable: WidthVariable) -> Array:
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
        return np.array([0, *unary, *[3] * len(self.pairs)])

    @property
    def terms(self) -> list[tuple[tuple[int, ...], slice, Array]]:
        """Every term: its variables, its columns, and its functions, an axis for each variable and one for them."""
        tables = [curves(variable) for variable in self.space.variables]
        centred = [table[:, 1] - table[:, 1].mean() for table in tables]
        terms: list[tuple[tuple[int, ...], Array]] = [((), np.ones(1))]
        terms += [((v,), table) for v, table in enumerate(tables)]
        terms += [((u, v), np.multiply.outer(centred[u], centred[v])[..., np.newaxis]) for u, v in self.pairs]
        ends = np.cumsum([functions.shape[-1] for _, functions in terms]).tolist()
        return [
            (scope, slice(end - functions.shape[-1], end), functions)
            for (scope, functions), end in zip(terms, ends, strict=True)
        ]

    def rows(self, configs: Sequence[ChannelConfig]) -> Array:
        """The design matrix (n, columns)."""
        chosen = np.array([self.space.indices(config) for config in configs])
        parts = [functions[tuple(chosen[:, v] for v in scope)] for scope, _, functions in self.terms]
        return np.concatenate([np.broadcast_to(part, (len(configs), part.shape[-1])) for part in parts], axis=1)


def neighbours(space: SearchSpace) -> tuple[tuple[int, int], ...]:
    """Pairs of variables that meet in a layer: one is a width that it reads, the other the width that it makes."""
    index = {variable.name: i for i, variable in enumerate(space.variables)}
    parts = (part for layer in space.network.layers for part in layer.operator.parts(layer.reads, layer.output))
    met = ([index[name] for name in variables_of((part.source, part.target))] for part in parts)
    return tuple(sorted({(min(pair), max(pair)) for pair in met if len(pair) == 2}))


@dataclass(frozen=True)
class LossFit:
    """What evaluations say of every term of the losses."""

    design: Design
    posterior: Posterior

    def predict(self, configs: Sequence[ChannelConfig]) -> Array:
        """The excess losses of configurations: (n,)."""
        return np.asarray(self.design.rows(configs) @ self.posterior.mean)

    def factors(self, coefficients: Array) -> tuple[Factor, ...]:
        """The losses with these coefficients as a search takes them: offset, variables, pairs of neighbours."""
        return tuple(
            Factor(scope, np.asarray(functions @ coefficients[columns]))
            for scope, columns, functions in self.design.terms
        )

    @property
    def mean_factors(self) -> tuple[Factor, ...]:
        """The losses as they are best known."""
        return self.factors(self.posterior.mean)

    def standard_errors(self) -> list[Array]:
        """How surely every choice of every variable is known: (choices,) each."""
        covariance = self.posterior.covariance
        variances = [
            np.einsum("ia,ab,ib->i", functions, covariance[columns, columns], functions)
            for scope, columns, functions in self.design.terms
            if len(scope) == 1
        ]
        return [np.sqrt(np.maximum(variance, 0)) for variance in variances]

    def draws(self, count: int, rng: np.random.Generator) -> Array:
        """Coefficients that the evaluations leave possible: (count, columns)."""
        # Scaled to unit variances: coefficients of the kinds differ by orders of magnitude.
        scale = np.sqrt(np.maximum(np.diag(self.posterior.covariance), 1e-300))
        values, vectors = np.linalg.eigh(self.posterior.covariance / np.outer(scale, scale))
        normal = rng.standard_normal((count, len(scale)))
        deviations = (normal * np.sqrt(np.maximum(values, 0))) @ vectors.T * scale
        return np.asarray(self.posterior.mean + deviations)


def fit_losses(space: SearchSpace, evaluations: Evaluations) -> LossFit:
    """The losses of a space from evaluated configurations, with products of neighbours as far as they predict."""
    design = Design(space, neighbours(space))
    plain = fit_posterior(Design(space, ()), evaluations)
    return LossFit(design, _stacked(plain, fit_posterior(design, evaluations), evaluations.excess))


def _stacked(plain: Posterior, paired: Posterior, values: Array) -> Posterior:
    """The mixture of two fits whose mean predicts left-out values best; the columns of the first come first."""
    apart = paired.left_out - plain.left_out
    weight = float(np.clip(apart @ (values - plain.left_out) / max(float(apart @ apart), 1e-300), 0, 1))
    extra = len(paired.mean) - len(plain.mean)
    mean, covariance = np.pad(plain.mean, (0, extra)), np.pad(plain.covariance, (0, extra))
    between = paired.mean - mean
    return Posterior(
        mean + weight * between,
        (1 - weight) * covariance + weight * paired.covariance + weight * (1 - weight) * np.outer(between, between),
        (1 - weight) * plain.sigma + weight * paired.sigma,
        plain.left_out + weight * apart,
    )


def fit_posterior(design: Design, evaluations: Evaluations) -> Posterior:
    """The posterior of a design, its unary curves falling with the width where the data cannot tell.

    Raising coefficients that are not sure are removed one by one, the least credible first.
    """
    rows, groups = design.rows(evaluations.configs), design.groups
    free = np.ones(len(groups), bool)
    full = posterior = solve_posterior(rows, evaluations.excess, groups)
    deviations = np.sqrt(np.diag(full.covariance))
    for _ in range(len(groups)):
        mean = np.zeros(len(groups))
        mean[free] = posterior.mean
        rising = (mean < 0) & (mean > -SURE * deviations) & np.isin(groups, (1, 2))
        if not rising.any():
            break
        free[np.flatnonzero(rising)[np.argmin(mean[rising])]] = False
        posterior = solve_posterior(rows[:, free], evaluations.excess, groups[free])
    mean = np.zeros(len(groups))
    mean[free] = posterior.mean
    # The covariance is that without removal, so that no error is understated.
    return Posterior(mean, full.covariance, posterior.sigma, posterior.left_out)


def solve_posterior(rows: Array, values: Array, groups: NDArray[np.int64]) -> Posterior:
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
    leverage = np.einsum("ia,ab,ib->i", rows, covariance, rows) / noise
    left_out = values - (values - rows @ mean) / np.maximum(1 - leverage, 1e-6)
    return Posterior(mean, covariance, float(np.sqrt(noise)), left_out)


def _conditional(gram: Array, moment: Array, precisions: Array, noise: float) -> tuple[Array, Array]:
    covariance = np.asarray(np.linalg.inv(gram / noise + np.diag(precisions)), np.float64)
    return np.asarray(covariance @ moment / noise, np.float64), covariance
