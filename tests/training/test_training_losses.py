"""The regression recovers known losses, says how sure it is, and beats averaging per entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgewidth.network.families import search_space
from edgewidth.training.loss_fit import Evaluations, fit_losses, loss_factors, neighbours, spearman

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.network import ChannelConfig, SearchSpace

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


def _fit(truth: _Truth, count: int, sigma: float, rng: np.random.Generator) -> UnaryLosses:
    parts = []
    for size in (count, 60):
        configs = _sample(size, rng)
        parts.append(Evaluations(configs, truth(configs) + sigma * rng.standard_normal(size)))
    return fit_losses(SPACE, *parts, data_fingerprint="f", images=100, max_loss=0.5)


def _predict(losses: UnaryLosses, configs: Sequence[ChannelConfig]) -> NDArray[np.float64]:
    offset, factors = loss_factors(losses)
    chosen = np.array([SPACE.indices(config) for config in configs])
    return np.asarray(offset + sum(values[tuple(chosen[:, v] for v in scope)] for scope, values in factors))


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
    losses = _fit(truth, 100, sigma, rng)
    configs = _sample(300, rng)
    actual = truth(configs)
    ours = spearman(_predict(losses, configs), actual)
    fitted = Evaluations([e.config for e in losses.fitted], np.array([e.excess_loss for e in losses.fitted]))
    averages = _per_entry_averages(fitted)
    theirs = spearman(
        np.array([sum(a[i] for a, i in zip(averages, SPACE.indices(c), strict=True)) for c in configs]), actual
    )
    assert ours > 0.9
    assert 1 - ours < 0.5 * (1 - theirs)


def test_the_noise_is_recovered_and_held_out_quality_is_honest() -> None:
    """Held-out residuals are of the size of the noise plus what the fit does not know."""
    rng = np.random.default_rng(2)
    losses = _fit(_Truth(SPACE, rng), 200, 0.03, rng)
    assert losses.quality.held_out == 60
    assert 0.02 < losses.quality.residual_sigma < 0.05
    assert losses.quality.r2 > 0.8


def test_standard_errors_cover_the_truth() -> None:
    """Over many fits, the true losses lie within two standard errors about as often as they should."""
    hits = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth = _Truth(SPACE, rng)
        losses = _fit(truth, 80, 0.05, rng)
        for unary, actual in zip(losses.variables, truth.unaries, strict=True):
            errors = np.abs(np.array(unary.values) - actual)[:-1]
            hits += list(errors < 2 * np.array(unary.standard_errors)[:-1] + 1e-9)
    assert np.mean(hits) > 0.85


def test_losses_never_rise_with_the_width_where_data_cannot_tell() -> None:
    """A few very noisy evaluations leave no curve that rises."""
    rng = np.random.default_rng(3)
    losses = _fit(_Truth(SPACE, rng), 25, 0.3, rng)
    for unary in losses.variables:
        assert np.all(np.diff(unary.values) <= 1e-12)
        assert unary.values[-1] == 0


def test_products_of_neighbours_are_found_where_they_are() -> None:
    """Interactions of neighbours are fitted when the data hold them, and left out when they do not."""
    rng = np.random.default_rng(4)
    plain = _fit(_Truth(SPACE, rng), 300, 0.02, rng)
    truth = _Truth(SPACE, rng, pairs=8.0)
    paired = _fit(truth, 300, 0.02, rng)
    assert [pair.variables for pair in paired.pairs] == [(f"w{i}", f"w{i + 1}") for i in range(13)]
    largest_of_plain = max((np.abs(pair.values).max() for pair in plain.pairs), default=0.0)
    assert largest_of_plain < 0.02
    assert max(np.abs(pair.values).max() for pair in paired.pairs) > 0.05


def test_neighbours_are_variables_that_meet_in_a_layer() -> None:
    """The chain's pairs."""
    assert neighbours(SPACE) == tuple((i, i + 1) for i in range(13))


def test_spearman_is_scipys() -> None:
    """With ties, too."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 9, 50).astype(float), rng.standard_normal(50)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(a, np.zeros(50)) == 0
