"""The stage that closes the loop: the best configurations near the budget are measured, and the choice made again.

A search exploits the errors of its table: what it finds is slower, measured, than predicted (the winner's curse).
So candidates are measured, the table learns from them, and the search is asked again, until the best one that
measured within the budget is also the best that the table still promises.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InfeasibleBudgetError
from edgewidth.records.search import RefineStep
from edgewidth.stages.profile import fit_measured
from edgewidth.stages.search import Question, search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.records.budget import Budget
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.measurement import LatencyEstimate
    from edgewidth.records.network import ChannelConfig
    from edgewidth.records.search import SearchResult
    from edgewidth.records.table import LatencyTable
    from edgewidth.stages.bench import Bench


@dataclass(frozen=True)
class RefinePlan:
    """How hard to try. ``most_rounds`` bounds the loop."""

    most_rounds: int = 8
    candidates: int = 4
    """Configurations measured in each round."""
    visits: int = 8
    """How often each is visited: more often than in profiling, since the choice stands on it."""
    least_tightening: float = 0.005
    """Where every candidate of a round measured over the budget, the next round aims this share lower at least."""


@dataclass
class _Loop:
    """What the rounds have learned."""

    bench: Bench
    losses: UnaryLosses
    budget: Budget
    table: LatencyTable
    within_ms: float
    steps: list[RefineStep] = field(default_factory=list)
    measured: dict[ChannelConfig, LatencyEstimate] = field(default_factory=dict)

    def measure(self, number: int, configs: Sequence[ChannelConfig], visits: int) -> None:
        """Measure candidates and let the table learn from them."""
        predicted = Question(self.table, self.losses).choices(configs)
        self.bench.measure(configs, visits=visits)
        for choice in predicted:
            estimate = self.bench.estimate(choice.config)
            self.measured[choice.config] = estimate
            self.steps.append(
                RefineStep(
                    round=number,
                    config=choice.config,
                    predicted_ms=choice.predicted_ms,
                    measured=estimate,
                    within_budget=self.meets(choice.config),
                )
            )
        self.table = fit_measured(self.bench, (held.config for held in self.table.held_out), known=self.table)

    def meets(self, config: ChannelConfig) -> bool:
        """Whether a configuration measured within the budget with its whole interval."""
        return self.measured[config].high_ms <= self.budget.latency_ms

    def best_measured(self) -> ChannelConfig | None:
        """Of those that measured within the budget the one of least predicted loss."""
        within = [config for config in self.measured if self.meets(config)]
        if not within:
            return None
        return min(Question(self.table, self.losses).choices(within), key=lambda choice: choice.predicted_loss).config

    def settled(self, result: SearchResult) -> bool:
        """Whether nothing unmeasured is expected to beat the best measured one by more than the table's own error.

        That error, the half-width of the prediction's interval, is worth as much loss as the frontier falls over it.
        """
        best = self.best_measured()
        if best is None:
            return False
        chosen, measured = Question(self.table, self.losses).choices([result.chosen.config, best])
        doubt_ms = (chosen.high_ms - chosen.low_ms) / 2
        frontier_ms = [point.predicted_ms for point in result.frontier]
        frontier_loss = [point.predicted_loss for point in result.frontier]
        threshold = float(np.interp(chosen.predicted_ms - doubt_ms, frontier_ms, frontier_loss))
        return measured.predicted_loss <= max(threshold, chosen.predicted_loss)

    def ratio(self, configs: Sequence[ChannelConfig]) -> float:
        """How much longer these took, measured to the upper end of their intervals, than the table now says."""
        choices = Question(self.table, self.losses).choices(configs)
        return float(np.median([self.measured[choice.config].high_ms / choice.predicted_ms for choice in choices]))


def refine(
    bench: Bench,
    table: LatencyTable,
    losses: UnaryLosses,
    budget: Budget,
    folder: RunFolder,
    *,
    plan: RefinePlan | None = None,
) -> SearchResult:
    """Search, measure the best, learn, search again; writes ``search.json`` and the table that learned.

    The chosen configuration is the best of those whose own measurement, interval included, is within the budget.

    Raises:
        InfeasibleBudgetError: Nothing that was measured is within the budget.
    """
    plan = plan or RefinePlan()
    loop = _Loop(bench, losses, budget, table, budget.latency_ms)
    for number in range(plan.most_rounds):
        result = search(loop.table, losses, budget, within_ms=loop.within_ms)
        candidates = [result.chosen.config, *(choice.config for choice in result.alternatives)]
        new = [config for config in candidates if config not in loop.measured][: plan.candidates]
        if loop.settled(result) or not new:
            break
        bench.progress.say(f"Measuring {len(new)} candidates near {budget}, round {number + 1}")
        loop.measure(number, new, plan.visits)
        # What the table still gets wrong near the budget, and the interval, are kept away from the budget.
        loop.within_ms = budget.latency_ms / max(1.0, loop.ratio(new))
        if not any(loop.meets(config) for config in new):
            loop.within_ms = min(loop.within_ms, budget.latency_ms * (1 - plan.least_tightening * (number + 1)))
    loop.table.write(folder.table)
    return _write_result(loop, folder)


def _write_result(loop: _Loop, folder: RunFolder) -> SearchResult:
    chosen = loop.best_measured()
    if chosen is None:
        nearest = min(loop.measured.values(), key=lambda estimate: estimate.value_ms)
        raise InfeasibleBudgetError(
            f"No configuration measured within the budget of {loop.budget}; "
            f"the nearest of {len(loop.measured)} candidates took {nearest.value_ms:.4g} ms "
            f"({nearest.low_ms:.4g} to {nearest.high_ms:.4g}).",
            remedy="Run again when the device is quieter, or raise --budget.",
        )
    result = search(loop.table, loop.losses, loop.budget)
    choice = Question(loop.table, loop.losses).choices([chosen])[0]
    result = result.model_copy(
        update={
            "chosen": choice,
            "certificate": result.certificate.model_copy(
                update={"gap": max(0.0, choice.predicted_loss - result.certificate.lower_bound)}
            ),
            "refinement": tuple(loop.steps),
            "measured": loop.measured[chosen],
            "warnings": loop.bench.warnings,
        }
    )
    result.write(folder.search)
    return result
