"""Whether a table still holds: a handful of configurations measured now, against what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.errors import InputError
from edgewidth.latency.predict import deviations
from edgewidth.latency.quality import measured
from edgewidth.latency.stored import model_of
from edgewidth.latency.terms import choice_indices

if TYPE_CHECKING:
    from edgewidth.records.table import ConfigVisits, LatencyTable

_TOLERATED_SHIFT = 0.02
"""A common factor that is no reason to measure again, even where it is beyond doubt."""

_NORMAL_95 = 1.96
_MOST_SURPRISE = 2.0


class Agreement(NamedTuple):
    """How fresh measurements compare with a table."""

    agrees: bool
    shift_percent: float
    """How much slower (above zero) or faster everything is than predicted, in percent."""
    surprise: float
    """Root mean square deviation from that common shift, in units of what table and measurements allow."""
    sentence: str
    """What this says, and what to do."""


def agreement(table: LatencyTable, visits: Sequence[ConfigVisits]) -> Agreement:
    """Hold a table against a few configurations of its space measured now, fitted ones or others.

    Drift between then and now is allowed for: it shifts latencies together by its standard deviation at their size.

    Raises:
        InputError: No configuration, or one of another space.
    """
    if not visits:
        raise InputError("Nothing was measured to hold the table against.")
    model = model_of(table)
    now = measured(visits, model.hyper.noise)
    indices = choice_indices(table.space, [v.config for v in visits])
    predicted = model.predict(indices)
    errors = np.log(now.values_ms / predicted)
    allowed = np.hypot(deviations(model, indices), now.errors)
    precision = 1 / allowed**2
    shift = float(np.sum(precision * errors) / np.sum(precision))
    drift = float(np.mean(model.hyper.noise.of_drift(np.log(now.values_ms))))
    doubt = float(np.hypot(1 / np.sqrt(np.sum(precision)), drift))
    spare = max(len(errors) - 1, 1)
    surprise = float(np.sqrt(np.sum(((errors - shift) / allowed) ** 2) / spare))
    shifted = abs(shift) > max(_NORMAL_95 * doubt, _TOLERATED_SHIFT)
    changed = surprise > _MOST_SURPRISE
    return Agreement(not (shifted or changed), 100 * shift, surprise, _sentence(100 * shift, shifted, changed))


def _sentence(shift_percent: float, shifted: bool, changed: bool) -> str:
    if changed:
        return "The device no longer behaves as the table says, and not only by a common factor: profile it again."
    if shifted:
        direction = "slower" if shift_percent > 0 else "faster"
        return (
            f"Everything is {abs(shift_percent):.1f} % {direction} than the table says: "
            "update it with a few measurements, the old table as their prior."
        )
    return f"The table still holds: measurements now differ from it by {shift_percent:+.1f} % together."
