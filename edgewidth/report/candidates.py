"""The configurations that a reader compares: counted, predicted and, where they were, measured."""

from __future__ import annotations

import statistics
from itertools import starmap
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.graph.costs import costs
from edgewidth.latency.curve import Curve
from edgewidth.latency.predict import latency_factors
from edgewidth.records.report import Candidate
from edgewidth.search.factors import Factor, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.judged import JudgedChoice
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.search import Choice
    from edgewidth.records.table import LatencyTable
    from edgewidth.report.inputs import Inputs


RUNNER_UP = "runner-up"
"""What the best of the others by the losses is called."""
SURE = 2.0
"""A difference of more standard errors than this is one."""


def candidates(inputs: Inputs) -> tuple[Candidate, ...]:
    """The chosen configuration, its runner-up, the uniform 1.0 network, and what each baseline would have chosen."""
    if inputs.space is None:
        return ()
    named: list[tuple[str, ChannelConfig, Choice | None]] = [("uniform 1.0", inputs.space.uniform(1.0), None)]
    if inputs.search:
        chosen, second, baselines = inputs.search.chosen, inputs.search.runner_up, inputs.search.baselines
        named = [("chosen", chosen.config, chosen), *([(RUNNER_UP, second.config, second)] if second else []), *named]
        named += ((method, choice.config, choice) for method, choice in baselines.items())
    return tuple(_candidate(inputs, inputs.space, *one) for one in named)


def sureness(candidates: Sequence[Candidate]) -> str:
    """How sure the choice is against its runner-up, in a sentence; empty: that was not judged."""
    by_method = {candidate.method: candidate for candidate in candidates}
    second = by_method.get(RUNNER_UP)
    if second is None or second.behind is None or not second.behind_error:
        return ""
    behind, error = second.behind, second.behind_error
    differ = sum(a != b for a, b in zip(second.config, by_method["chosen"].config, strict=True))
    more = "more" if behind >= 0 else "less"
    told = (
        f"Its runner-up differs in {differ} of {len(second.config)} widths "
        f"and loses {abs(behind):.4f} ± {error:.4f} nats {more} on these images: "
    )
    if abs(behind) <= SURE * error:
        return told + "too little to tell them apart, and either would do."
    if behind > 0:
        return told + "the choice is the better one."
    return told + "the runner-up is the better one there, which the losses did not know."


def _candidate(
    inputs: Inputs, space: SearchSpace, method: str, config: ChannelConfig, choice: Choice | None
) -> Candidate:
    counted = costs(space, config)
    predicted_ms = predict_ms(inputs.table, config) if inputs.table else None
    predicted_loss = predict_loss(inputs.losses, config) if inputs.losses else None
    judged = _judged(inputs, config)
    return Candidate(
        method=method,
        config=config,
        predicted_ms=choice.predicted_ms if choice else predicted_ms,
        low_ms=choice.low_ms if choice else None,
        high_ms=choice.high_ms if choice else None,
        predicted_loss=choice.predicted_loss if choice else predicted_loss,
        judged_loss=judged.excess_loss if judged else None,
        behind=judged.behind if judged else None,
        behind_error=judged.behind_error if judged else None,
        measured_ms=_measured_variant(inputs, config),
        macs=counted.macs,
        parameters=counted.parameters,
        peak_activations=counted.peak_activations,
    )


def _judged(inputs: Inputs, config: ChannelConfig) -> JudgedChoice | None:
    """What the holdout images say of a configuration."""
    if not inputs.judged:
        return None
    return next((one for one in inputs.judged.choices if one.config == config), None)


def _measured_variant(inputs: Inputs, config: ChannelConfig) -> float | None:
    """The newest measurement of a configuration: of the choice itself, of the refinement, or for the table."""
    if inputs.search:
        if inputs.search.measured and config == inputs.search.chosen.config:
            return inputs.search.measured.value_ms
        for step in reversed(inputs.search.refinement):
            if step.config == config:
                return step.measured.value_ms
    if inputs.table:
        for visits in inputs.table.fitted:
            if visits.config == config:
                return statistics.median(visits.values_ms)
        for held_out in inputs.table.held_out:
            if held_out.config == config:
                return held_out.measured_ms
    return None


def predict_ms(table: LatencyTable, config: ChannelConfig) -> float:
    """The mean that the table predicts for a configuration: ``Predictor``'s, without the cost of an interval."""
    factors, offset_ms = latency_factors(table)
    indices = np.array([table.space.indices(config)])
    return float(Curve.of(table).latency_ms(offset_ms + float(total(starmap(Factor, factors), indices)[0])))


def predict_loss(losses: UnaryLosses, config: ChannelConfig) -> float:
    """The excess loss that the losses of widths and of pairs of them add up to."""
    from edgewidth.losses.correction import loss_factors  # noqa: PLC0415  scipy loads when it is needed

    return float(total(loss_factors(losses), np.array([losses.space.indices(config)]))[0])
