"""How good a table is, on configurations that were measured and never fitted; and where it errs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.latency.model import first_weights
from edgewidth.latency.noise import VisitData, condense, robust
from edgewidth.latency.predict import deviations
from edgewidth.latency.terms import choice_indices
from edgewidth.records.table import HeldOut, TableQuality

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.latency.model import Model
    from edgewidth.latency.noise import Noise
    from edgewidth.latency.terms import Floats
    from edgewidth.records.table import ConfigVisits, LatencyTable

GOOD_PERCENT = 3.0
"""A mean error up to here is good enough to search with; measuring the choice closes what is left."""

_NORMAL_95 = 1.96


class Measured(NamedTuple):
    """Configurations as measured: milliseconds, and the relative standard errors of these. (configurations,)."""

    values_ms: Floats
    errors: Floats


class Residual(NamedTuple):
    """The mean error of the held-out predictions in which a width variable has one choice."""

    variable: str
    width: int
    configs: int
    mean_percent: float
    """Above zero: measured slower than predicted."""
    mape_percent: float


def measured(visits: Sequence[ConfigVisits], noise: Noise, fitted: Sequence[ConfigVisits] = ()) -> Measured:
    """What visits to configurations amount to, outliers and drift allowed for; no table takes part.

    With the visits to the ``fitted`` configurations these latencies are those in the device's average state while
    the fitted ones were measured: the state that a table predicts.
    """
    data = VisitData.of(fitted, visits) if fitted else VisitData.of(visits)
    condensed = robust(condense(data, first_weights(data, noise), noise))
    asked = slice(len(fitted), None)
    return Measured(np.exp(condensed.log_ms[asked]), np.sqrt(np.diag(condensed.covariance)[asked]))


def hold_out(model: Model, space: SearchSpace, visits: Sequence[ConfigVisits], found: Measured) -> tuple[HeldOut, ...]:
    """Each held-out configuration, predicted and as ``measured``. The intervals include the measurement's noise."""
    indices = choice_indices(space, [v.config for v in visits])
    mean = model.predict(indices)
    spread = np.hypot(deviations(model, indices), found.errors)
    rows = zip(visits, mean.tolist(), np.exp(_NORMAL_95 * spread).tolist(), found.values_ms.tolist(), strict=True)
    return tuple(
        HeldOut(visits=v, predicted_ms=m, low_ms=m / s, high_ms=m * s, measured_ms=value) for v, m, s, value in rows
    )


def quality_of(held_out: Sequence[HeldOut], errors: Floats, fitted: int, *, of: int) -> TableQuality:
    """The numbers and the verdict of so many ``fitted`` configurations, and of held-out ones, predicted and measured.

    ``errors``: (held out,) relative standard errors of the measurements. ``of``: how many configurations there are.
    """
    if not held_out:
        return TableQuality(
            held_out=0,
            fitted=fitted,
            mape_percent=0.0,
            worst_percent=0.0,
            within5_percent=0.0,
            within10_percent=0.0,
            coverage_percent=0.0,
            noise_percent=0.0,
            verdict="Not checked: no configuration was held out. Measure some that are not fitted.",
        )
    percent = np.abs([100 * (h.measured_ms / h.predicted_ms - 1) for h in held_out])
    noise_percent = float(100 * np.sqrt(np.mean(errors**2)))
    return TableQuality(
        held_out=len(held_out),
        fitted=fitted,
        mape_percent=float(percent.mean()),
        worst_percent=float(percent.max()),
        within5_percent=float(100 * np.mean(percent <= 5)),
        within10_percent=float(100 * np.mean(percent <= 10)),
        coverage_percent=float(100 * np.mean([h.low_ms <= h.measured_ms <= h.high_ms for h in held_out])),
        noise_percent=noise_percent,
        verdict=_verdict(percent, noise_percent, exhausted=len(held_out) + fitted == of),
    )


def _verdict(percent: Floats, noise_percent: float, *, exhausted: bool) -> str:
    held_out = f"{len(percent)} held-out configuration{'' if len(percent) == 1 else 's'}"
    error = f"{percent.mean():.2g} % on average over {held_out}, at worst {percent.max():.2g} %"
    root_mean_square = float(np.sqrt(np.mean(percent**2)))
    if percent.mean() <= GOOD_PERCENT:
        return f"Good enough: predictions are off by {error}."
    if noise_percent >= 0.8 * root_mean_square:
        return (
            f"Limited by the device's noise: predictions are off by {error}, and visits themselves by "
            f"{noise_percent:.2g} %. Keep the device idle and cool, or give it more time so that each configuration "
            "is visited more often."
        )
    remedy = "There are no others to profile" if exhausted else "Profile more configurations (a longer `time_budget_s`)"
    return f"Not good enough: predictions are off by {error}. {remedy}."


def residuals(table: LatencyTable) -> tuple[Residual, ...]:
    """Where the table errs: the held-out errors by width variable and width, widths that none has left out."""
    errors = np.array([100 * (h.measured_ms / h.predicted_ms - 1) for h in table.held_out])
    found = []
    for position, variable in enumerate(table.space.variables):
        widths = np.array([h.config[position] for h in table.held_out])
        for width in variable.choices:
            some = errors[widths == width]
            if len(some):
                mean, absolute = float(some.mean()), float(np.abs(some).mean())
                found.append(Residual(variable.name, width, len(some), mean, absolute))
    return tuple(found)
