"""How far the model's own standard deviations can be trusted, by leave-one-out prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgewidth.latency.posterior import Posterior
    from edgewidth.latency.terms import Floats

_IMAGINED = 1.0
"""So many measurements with errors as large as the model says are imagined beside all others. With four of them the
intervals of a device without noise were 3.2 times as wide as 36 networks' errors asked for, now 2.1 times; where the
model has hard work, nothing changed."""
_IMAGINED_OF_SIZE = 4.0
"""The same among those of about one size, with errors as large as all have."""

_BANDWIDTH = 0.3
"""Over which sizes errors are compared, in natural logarithms of latency."""

_OPTIMISM = 1.7
_LARGEST_SQUARE = 12.0


@dataclass(frozen=True)
class Calibration:
    """Squared leave-one-out errors in units of their variances, by size.

    What no sum over layers explains need not be alike for small and for large networks: a cache that only large
    ones outgrow bends the latencies of these.
    """

    log_ms: Floats
    """(n,) sizes of the measured configurations."""
    squares: Floats
    """(n,)"""

    @classmethod
    def of(cls, posterior: Posterior, latencies_ms: Floats) -> Calibration:
        """The errors of a posterior, where (n,) is what it was fitted to."""
        residuals, deviations = posterior.leave_one_out()
        return cls(np.log(latencies_ms), np.minimum((residuals / deviations) ** 2, _LARGEST_SQUARE))

    def factor(self, latencies_ms: Floats) -> Floats:
        """The factors by which deviations at these latencies are to be multiplied: (configurations,).

        Left-out measurements took part in learning the hyperparameters, so that their errors are somewhat too
        small (up to ``_OPTIMISM`` on devices with a known truth): deviations shrink only as far as that allows.
        """
        distance = (np.log(latencies_ms)[:, None] - self.log_ms) / _BANDWIDTH
        weights = np.exp(-0.5 * distance**2)
        whole = self._root_mean(np.ones((1, len(self.squares))), 1.0, _IMAGINED)
        # Where few of a size were measured, they are taken to be as all are.
        found = np.maximum(self._root_mean(weights, float(whole[0]), _IMAGINED_OF_SIZE), whole)
        factor: Floats = np.maximum(found, np.minimum(_OPTIMISM * found, 1.0))
        return factor

    def _root_mean(self, weights: Floats, expected: float, imagined: float) -> Floats:
        total = weights @ self.squares + imagined * expected**2
        root: Floats = np.sqrt(total / (weights.sum(axis=1) + imagined))
        return root
