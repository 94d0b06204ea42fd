"""Corrects the supernet's losses by those of networks that were trained.

A supernet ranks configurations well where they differ much and badly where they differ little. What it gets wrong
there is partly the same everywhere: it may have learned its early layers better than its late ones, or its wide widths
better than its narrow ones. A few rivals that were trained briefly tell that:

    loss(w, rung) = offset(rung) + slope Σ_v f_v(w_v) + depth Σ_v d_v f_v(w_v) + tilt Σ_v (h_v(w_v) − f_v(w_v))

Here f are the supernet's losses (with those of neighbouring pairs in the first sum alone), d_v is the place of a
variable from −1 to 1, and h_v falls with the logarithm of the width as far as f_v does. The coefficients have
zero-mean normal priors whose variances, with the noise, maximise the marginal likelihood: what the rivals do not
support vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.losses.fit import solve_posterior
from edgewidth.losses.record import spearman, supernet_factors
from edgewidth.records.losses import Coefficient, Correction
from edgewidth.search.factors import Factor, total

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig
    from edgewidth.losses.fit import Array, Posterior
    from edgewidth.records.losses import UnaryLosses


class Observed(NamedTuple):
    """A rival's loss (nats per image) at the end of one rung."""

    config: ChannelConfig
    rung: int
    loss: float


class Judgement(NamedTuple):
    """What rivals say of the losses, and how well losses rank them before and after the correction."""

    correction: Correction
    supernet_spearman: float
    corrected_spearman: float


@dataclass(frozen=True)
class Departures:
    """The sums over the network that a correction weighs, of the supernet's losses."""

    losses: UnaryLosses

    def factors(self, correction: Correction) -> tuple[Factor, ...]:
        """The corrected losses as a search takes them, in units of the supernet's; uncorrected if it is not sure."""
        supernet = supernet_factors(self.losses)
        if not correction.is_sure:
            return supernet
        slope, depth, tilt = (one.value for one in (correction.slope, correction.depth, correction.tilt))
        changed = [
            Factor(factor.scope, _falling(factor.values + (depth * deep.values + tilt * tilted.values) / slope))
            for factor, deep, tilted in zip(self._unaries, self._deep, self._tilted, strict=True)
        ]
        return tuple(factor for factor in supernet if len(factor.scope) != 1) + tuple(changed)

    def rows(self, configs: Sequence[ChannelConfig]) -> Array:
        """The three sums for each configuration: (configurations, 3)."""
        indices = np.array([self.losses.space.indices(config) for config in configs])
        parts = (supernet_factors(self.losses), self._deep, self._tilted)
        return np.stack([total(part, indices) for part in parts], axis=1)

    @property
    def _unaries(self) -> list[Factor]:
        return [factor for factor in supernet_factors(self.losses) if len(factor.scope) == 1]

    @property
    def _deep(self) -> list[Factor]:
        places = np.linspace(-1, 1, len(self._unaries)) if len(self._unaries) > 1 else np.zeros(1)
        return [Factor(one.scope, place * one.values) for one, place in zip(self._unaries, places, strict=True)]

    @property
    def _tilted(self) -> list[Factor]:
        """What even costs have above the supernet's."""
        return [Factor(one.scope, self._even(one) - one.values) for one in self._unaries]

    def _even(self, unary: Factor) -> Array:
        choices = np.array(self.losses.space.variables[unary.scope[0]].choices, float)
        if len(choices) == 1:
            return np.array(unary.values)
        share = np.log(choices[-1] / choices) / np.log(choices[-1] / choices[0])
        return np.asarray(unary.values[-1] + share * (unary.values[0] - unary.values[-1]))


def _falling(values: Array) -> Array:
    """A cost that never rises with the width: rivals are too few to say that a wider layer is worse."""
    return np.asarray(np.maximum.accumulate(values[::-1])[::-1])


def loss_factors(losses: UnaryLosses) -> tuple[Factor, ...]:
    """The losses as a search takes them: those of the supernet, corrected where rivals were trained."""
    return Departures(losses).factors(losses.rivals.correction) if losses.rivals else supernet_factors(losses)


def judge_rivals(losses: UnaryLosses, observed: Sequence[Observed]) -> Judgement:
    """What rivals' losses, several of each as it went from rung to rung, say of the supernet's losses.

    A rung has an offset of its own, for losses fall as training goes on. How well losses rank the rivals is told of
    the last rung that each has reached, less that offset.
    """
    sums = Departures(losses).rows([one.config for one in observed])
    scale = np.maximum(sums.std(axis=0), 1e-9)  # so that one prior suits sums of any size
    rungs = sorted({one.rung for one in observed})
    offsets = np.array([[float(one.rung == rung) for rung in rungs] for one in observed])
    values = np.array([one.loss for one in observed])
    rows = np.concatenate([offsets, (sums - sums.mean(axis=0)) / scale], axis=1)
    groups = np.array([0] * len(rungs) + [1, 2, 3])
    found = solve_posterior(rows, values, groups)
    errors = np.sqrt(np.maximum(np.diag(found.covariance), 0))
    coefficients = [
        Coefficient(value=float(value / by), standard_error=float(error / by))
        for value, error, by in zip(found.mean[len(rungs) :], errors[len(rungs) :], scale, strict=True)
    ]
    slope, depth, tilt = coefficients
    centre = sum(one.value * float(mean) for one, mean in zip(coefficients, sums.mean(axis=0), strict=True))
    constants = tuple(float(offset) - centre for offset in found.mean[: len(rungs)])
    last = {one.config: place for place, one in enumerate(observed)}  # they are in the order of the rungs
    kept = np.array(list(last.values()))
    level = offsets @ found.mean[: len(rungs)]
    reached = (values - level)[kept]
    return Judgement(
        Correction(offsets=constants, slope=slope, depth=depth, tilt=tilt, sigma=found.sigma),
        supernet_spearman=spearman(sums[kept, 0], reached),
        corrected_spearman=spearman((_without_each(rows, values, found, observed) - level)[kept], reached),
    )


def _without_each(rows: Array, values: Array, found: Posterior, observed: Sequence[Observed]) -> Array:
    """What the fit predicts of every score from the scores of all other rivals: (observed,).

    A rival's scores at several rungs are left out together: each would tell the others.
    """
    leverage = rows @ found.covariance @ rows.T / found.sigma**2
    residual = values - rows @ found.mean
    predicted = np.empty(len(values))
    for config in {one.config for one in observed}:
        own = np.array([place for place, one in enumerate(observed) if one.config == config])
        rest = np.eye(len(own)) - leverage[np.ix_(own, own)]
        predicted[own] = values[own] - np.linalg.lstsq(rest, residual[own], rcond=None)[0]
    return predicted


def most_telling(
    losses: UnaryLosses, pool: Sequence[ChannelConfig], known: Sequence[ChannelConfig], count: int
) -> list[ChannelConfig]:
    """Those of a pool that say most of the correction beside the ``known`` ones, one after the other.

    Each has the largest variance left by those before it (D-optimal design).
    """
    configs = [config for config in dict.fromkeys(pool) if config not in set(known)]
    if not configs:
        return []
    rows = Departures(losses).rows([*known, *configs])
    rows = np.concatenate([np.ones((len(rows), 1)), (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-9)], axis=1)
    mine, others = rows[: len(known)], rows[len(known) :]
    precision = np.eye(rows.shape[1]) * 0.1 + mine.T @ mine
    chosen: list[int] = []
    for _ in range(min(count, len(configs))):
        variance = np.einsum("ia,ab,ib->i", others, np.linalg.inv(precision), others)
        variance[chosen] = -1
        chosen.append(int(variance.argmax()))
        precision += np.outer(others[chosen[-1]], others[chosen[-1]])
    return [configs[place] for place in chosen]
