"""A correction finds what was done to the supernet's losses, and is left out where rivals say nothing."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgewidth.graph.families.registry import search_space
from edgewidth.losses.correction import Departures, Observed, _without_each, judge_rivals, most_telling
from edgewidth.losses.fit import Posterior
from edgewidth.losses.record import predicted_excess, supernet_factors
from edgewidth.records.losses import Coefficient, Correction, EvaluationPhase, UnaryLosses, VariableLosses
from edgewidth.search.factors import total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig

SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)
SLOPE, DEPTH, TILT = 0.4, -0.1, 0.15
OFFSETS = (0.9, 0.6, 0.5)


def supernet(rng: np.random.Generator) -> UnaryLosses:
    """Costs of widths that fall by power laws of their own."""
    variables = tuple(
        VariableLosses(variable=v.name, values=tuple(values.tolist()), standard_errors=(0.0,) * len(values))
        for v in SPACE.variables
        for values in [rng.uniform(0.01, 0.1) * ((np.array(v.choices) / v.choices[-1]) ** -rng.uniform(0.4, 1.5) - 1)]
    )
    return UnaryLosses(
        space=SPACE,
        data_fingerprint="0" * 16,
        images=100,
        offset=0.02,
        variables=variables,
        fitted=(),
        held_out=(),
        sigma=0.01,
        evaluation=EvaluationPhase(cost="latency", stopped="settled", rounds=()),
        max_loss=0.3,
    )


def after_training(losses: UnaryLosses, configs: Sequence[ChannelConfig]) -> NDArray[np.float64]:
    """The formula of the module, variable by variable and width by width, without an offset."""
    found = []
    for config in configs:
        loss = SLOPE * losses.offset
        for place, (variable, one, width) in enumerate(zip(SPACE.variables, losses.variables, config, strict=True)):
            cost = one.values[variable.choices.index(width)]
            widest, narrowest = variable.choices[-1], variable.choices[0]
            even = one.values[0] * np.log(widest / width) / np.log(widest / narrowest)
            deep = -1 + 2 * place / (len(SPACE.variables) - 1)
            loss += SLOPE * cost + DEPTH * deep * cost + TILT * (even - cost)
        found.append(loss)
    return np.array(found)


def race(losses: UnaryLosses, rng: np.random.Generator, sigma: float, *, related: bool = True) -> list[Observed]:
    """Sixteen rivals, the better half of which goes on, twice."""
    configs = [SPACE.sample(rng) for _ in range(16)]
    truth = after_training(losses, configs) if related else rng.normal(0, 0.05, len(configs))
    alive, found = list(range(16)), []
    for rung, offset in enumerate(OFFSETS):
        seen = {place: offset + truth[place] + sigma * rng.standard_normal() for place in alive}
        found += [Observed(configs[place], rung, float(loss)) for place, loss in seen.items()]
        alive = sorted(seen, key=lambda place: seen[place])[: len(alive) // 2]
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_coefficients_are_found_within_their_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = supernet(rng)
    found = judge_rivals(losses, race(losses, rng, 0.002)).correction
    for one, truth in ((found.slope, SLOPE), (found.depth, DEPTH), (found.tilt, TILT)):
        assert abs(one.value - truth) < 4 * one.standard_error
        assert one.standard_error < 0.1
    assert found.is_sure
    assert found.sigma == pytest.approx(0.002, rel=0.6)


def test_corrected_losses_rank_unseen_configurations_better_than_the_supernet() -> None:
    """And their factors add up to the formula, in the supernet's units."""
    rng = np.random.default_rng(3)
    losses = supernet(rng)
    judged = judge_rivals(losses, race(losses, rng, 0.002))
    unseen = [SPACE.sample(rng) for _ in range(200)]
    indices = np.array([SPACE.indices(config) for config in unseen])
    truth = after_training(losses, unseen)
    corrected = total(Departures(losses).factors(judged.correction), indices)
    assert corrected == pytest.approx(truth / SLOPE, abs=0.1 * float(np.ptp(truth / SLOPE)))
    before, after = (spearmanr(found, truth).statistic for found in (predicted_excess(losses, unseen), corrected))
    assert after > 0.99 > before
    assert judged.corrected_spearman > judged.supernet_spearman


def test_a_rival_is_predicted_without_any_of_its_own_scores() -> None:
    """As fits say that never saw it, at the same strengths of the prior and the same noise."""
    rng = np.random.default_rng(7)
    rows = np.concatenate([np.ones((9, 1)), rng.normal(size=(9, 2))], axis=1)
    configs = [SPACE.sample(rng) for _ in range(5)]
    observed = [
        Observed(configs[place], rung, 0.0)
        for rung, places in enumerate((range(5), range(3), range(1)))
        for place in places
    ]
    values, precision, noise = rng.normal(size=9), np.diag([1e-3, 2.0, 5.0]), 0.3

    def fit(kept: NDArray[np.bool_]) -> Posterior:
        covariance = np.linalg.inv(rows[kept].T @ rows[kept] / noise**2 + precision)
        return Posterior(covariance @ rows[kept].T @ values[kept] / noise**2, covariance, noise, values)

    found = _without_each(rows, values, fit(np.ones(9, bool)), observed)
    for place, one in enumerate(observed):
        others = np.array([other.config != one.config for other in observed])
        assert found[place] == pytest.approx(rows[place] @ fit(others).mean)


def test_no_width_is_made_worse_than_a_narrower_one() -> None:
    """Whatever the coefficients; and the ends of a curve that falls anyway stay where they are."""
    losses = supernet(np.random.default_rng(6))
    zero = Coefficient(value=0.0, standard_error=0.0)
    for tilt in (-3.0, 3.0):
        tilted = Coefficient(value=tilt, standard_error=0.0)
        slope = Coefficient(value=1.0, standard_error=0.0)
        correction = Correction(offsets=(0.0,), slope=slope, depth=zero, tilt=tilted, sigma=0.0)
        for factor in Departures(losses).factors(correction):
            if len(factor.scope) == 1:
                assert (np.diff(factor.values) <= 0).all()


def test_rivals_that_say_nothing_change_nothing() -> None:
    rng = np.random.default_rng(4)
    losses = supernet(rng)
    judged = judge_rivals(losses, race(losses, rng, 0.002, related=False))
    assert not judged.correction.is_sure
    factors = Departures(losses).factors(judged.correction)
    for factor, before in zip(factors, supernet_factors(losses), strict=True):
        assert factor.scope == before.scope
        assert np.array_equal(factor.values, before.values)


def test_those_that_tell_most_leave_the_least_uncertain() -> None:
    """One at a time, by the determinant of what is then known; two together come near the best pair of all."""
    rng = np.random.default_rng(5)
    losses = supernet(rng)
    known, pool = ([SPACE.sample(rng) for _ in range(count)] for count in (3, 12))
    rows = Departures(losses).rows([*known, *pool])
    rows = np.concatenate([np.ones((len(rows), 1)), (rows - rows.mean(0)) / rows.std(0)], axis=1)

    def knowledge(places: Sequence[int]) -> float:
        chosen = rows[[*range(len(known)), *(len(known) + place for place in places)]]
        return float(np.linalg.slogdet(0.1 * np.eye(4) + chosen.T @ chosen).logabsdet)

    best = max(range(len(pool)), key=lambda place: knowledge([place]))
    first, second = most_telling(losses, [*pool, *known], known, 2)
    assert first == pool[best]
    pairs = [knowledge(pair) for pair in combinations(range(len(pool)), 2)]
    assert knowledge([pool.index(first), pool.index(second)]) >= np.quantile(pairs, 0.9)
    assert most_telling(losses, known, known, 2) == []
