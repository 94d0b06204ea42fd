"""The regression recovers known losses, says how sure it is, and beats averaging per entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgewidth.graph.families.registry import search_space
from edgewidth.losses.fit import Evaluations, LossFit, fit_losses, neighbours
from edgewidth.losses.record import judge_losses, spearman

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace

SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)


class _Truth:
    """Losses that fall with the width by power laws, which are not the regression's own curves."""

    def __init__(self, space: SearchSpace, rng: np.random.Generator, *, pairs: float = 0.0) -> None:
        self._space = space
        self._pairs = pairs
        scale, power = rng.uniform(0.005, 0.08, len(space.variables)), rng.uniform(0.4, 1.5, len(space.variables))
        self.unaries = [
            s * ((np.array(v.choices) / v.choices[-1]) ** -p - 1)
            for v, s, p in zip(space.variables, scale, power, strict=True)
        ]

    def __call__(self, configs: Sequence[ChannelConfig]) -> NDArray[np.float64]:
        parts = np.array([[u[i] for u, i in zip(self.unaries, self._space.indices(c), strict=True)] for c in configs])
        return np.asarray(parts.sum(1) + self._pairs * (parts[:, 1:] * parts[:, :-1]).sum(1))


def _sample(count: int, rng: np.random.Generator) -> list[ChannelConfig]:
    return [SPACE.sample(rng) for _ in range(count)]


def _evaluate(truth: _Truth, count: int, sigma: float, rng: np.random.Generator) -> Evaluations:
    configs = _sample(count, rng)
    return Evaluations(configs, truth(configs) + sigma * rng.standard_normal(count))


def _unaries(fit: LossFit) -> list[NDArray[np.float64]]:
    return [f.values for f in fit.mean_factors if len(f.scope) == 1]


def _per_entry_averages(evaluations: Evaluations) -> list[NDArray[np.float64]]:
    """The reference's estimator: the mean excess of all configurations with a width at a place."""
    chosen = np.array([SPACE.indices(config) for config in evaluations.configs])
    overall = evaluations.excess.mean()
    means = []
    for v, variable in enumerate(SPACE.variables):
        groups = [evaluations.excess[chosen[:, v] == i] for i in range(len(variable.choices))]
        means.append(np.array([group.mean() - overall if len(group) else 0.0 for group in groups]))
    return means


@pytest.mark.parametrize("sigma", [0.01, 0.08])
def test_the_truth_is_recovered_far_better_than_by_averages(sigma: float) -> None:
    """From 100 noisy configurations, unseen ones are ranked right where averages per entry are lost."""
    rng = np.random.default_rng(1)
    truth = _Truth(SPACE, rng)
    fitted = _evaluate(truth, 100, sigma, rng)
    configs = _sample(300, rng)
    actual = truth(configs)
    ours = spearman(fit_losses(SPACE, fitted).predict(configs), actual)
    averages = _per_entry_averages(fitted)
    theirs = spearman(
        np.array([sum(a[i] for a, i in zip(averages, SPACE.indices(c), strict=True)) for c in configs]), actual
    )
    assert ours > 0.9
    assert 1 - ours < 0.5 * (1 - theirs)


def test_the_noise_is_recovered_and_held_out_quality_is_honest() -> None:
    """Held-out residuals are of the size of the noise plus what the fit does not know."""
    rng = np.random.default_rng(2)
    truth = _Truth(SPACE, rng)
    fit, held_out = fit_losses(SPACE, _evaluate(truth, 200, 0.03, rng)), _evaluate(truth, 60, 0.03, rng)
    quality = judge_losses(fit.predict(held_out.configs), held_out.excess)
    assert fit.posterior.sigma == pytest.approx(0.03, rel=0.3)
    assert quality.held_out == 60
    assert 0.02 < quality.residual_sigma < 0.05
    assert quality.r2 > 0.8


def test_standard_errors_cover_the_truth() -> None:
    """Over many fits, the true losses lie within two standard errors about as often as they should."""
    hits = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth = _Truth(SPACE, rng)
        fit = fit_losses(SPACE, _evaluate(truth, 80, 0.05, rng))
        for values, errors, actual in zip(_unaries(fit), fit.standard_errors(), truth.unaries, strict=True):
            hits += list((np.abs(values - actual) < 2 * errors + 1e-9)[:-1])
    assert np.mean(hits) > 0.85


def test_losses_never_rise_with_the_width_where_data_cannot_tell() -> None:
    """A few very noisy evaluations leave no curve that rises."""
    rng = np.random.default_rng(3)
    for values in _unaries(fit_losses(SPACE, _evaluate(_Truth(SPACE, rng), 25, 0.3, rng))):
        assert np.all(np.diff(values) <= 1e-12)
        assert values[-1] == 0


def test_products_of_neighbours_are_found_where_they_are() -> None:
    """Interactions of neighbours are fitted when the data hold them, and left out when they do not."""
    rng = np.random.default_rng(4)
    plain = fit_losses(SPACE, _evaluate(_Truth(SPACE, rng), 300, 0.02, rng))
    paired = fit_losses(SPACE, _evaluate(_Truth(SPACE, rng, pairs=8.0), 300, 0.02, rng))
    assert _pairs(paired).keys() == {(i, i + 1) for i in range(13)}
    assert max(map(np.ptp, _pairs(plain).values()), default=0.0) < 0.04
    assert max(map(np.ptp, _pairs(paired).values())) > 0.05


def _pairs(fit: LossFit) -> dict[tuple[int, ...], NDArray[np.float64]]:
    return {f.scope: f.values for f in fit.mean_factors if len(f.scope) == 2}


def test_draws_have_the_posteriors_mean_and_covariance() -> None:
    """Of many draws."""
    rng = np.random.default_rng(6)
    fit = fit_losses(SPACE, _evaluate(_Truth(SPACE, rng), 80, 0.05, rng))
    draws, scale = fit.draws(20_000, rng), np.sqrt(np.diag(fit.posterior.covariance)) + 1e-12
    np.testing.assert_allclose(draws.mean(0) / scale, fit.posterior.mean / scale, atol=0.04)
    theirs = fit.posterior.covariance / np.outer(scale, scale)
    np.testing.assert_allclose(np.cov(draws.T) / np.outer(scale, scale), theirs, atol=0.05)


def test_neighbours_are_variables_that_meet_in_a_layer() -> None:
    """The chain's pairs."""
    assert neighbours(SPACE) == tuple((i, i + 1) for i in range(13))


def test_spearman_is_scipys() -> None:
    """With ties, too."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 9, 50).astype(float), rng.standard_normal(50)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(a, np.zeros(50)) == 0
