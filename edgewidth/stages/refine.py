"""The stage that closes the loop: the most promising configurations are measured, and the choice made again.

A search exploits the errors of its table: what it finds is slower, measured, than predicted (the winner's curse).
So candidates on both sides of the budget are measured, those first of which an improvement is most to be expected
(expected improvement under a constraint; Gardner et al. 2014, "Bayesian optimization with inequality constraints");
the table learns from them, and the loop ends when nothing unmeasured is expected to be better by more than the
table's error is worth. What is chosen has itself been measured within the budget.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.errors import InfeasibleBudgetError
from edgewidth.latency.stored import noise_of
from edgewidth.records.provenance import differences
from edgewidth.records.search import RefineStep
from edgewidth.search.exact import solve
from edgewidth.search.problem import InfeasibleError
from edgewidth.stages.ledger import refusal
from edgewidth.stages.profile import fit_measured
from edgewidth.stages.search import Question, search

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig
    from edgewidth.records.budget import Budget
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.measurement import LatencyEstimate
    from edgewidth.records.search import Choice, SearchResult
    from edgewidth.records.table import LatencyTable
    from edgewidth.stages.bench import Bench
    from edgewidth.stages.folder import RunFolder

_NORMAL_95 = 1.96
_LEVELS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0)
"""Where candidates are looked for: the best for the budget moved by so many standard deviations of a prediction."""
_LEAST_DEVIATION = 2e-4
"""The least relative error of a prediction: a table is not to be believed below it."""
_SAME = "Measure as the table's networks were measured, or profile again in another `out`."


@dataclass(frozen=True)
class RefinePlan:
    """How hard to try. ``most_rounds`` and the time bound the loop."""

    most_rounds: int = 8
    candidates: int = 4
    """Configurations measured in each round."""
    visits: int = 8
    """How often each is visited: more often than in profiling, since the choice stands on it."""
    sessions: int = 2
    """Over how many processes and places of the files in memory these are spread."""
    time_budget_s: float = 600.0
    """No round begins after this time if something was measured within the budget by then."""
    settled: float = 0.25
    """The loop ends when the expected improvement is below this share of what the table's error, one standard
    deviation of a prediction, is worth in loss on the frontier."""


class _Candidate(NamedTuple):
    choice: Choice
    deviation: float
    """Relative standard deviation of the predicted latency."""
    gain: float
    """How far measuring it is expected to lower the loss of the best configuration within the budget."""


@dataclass
class _Loop:
    """What the rounds have learned."""

    bench: Bench
    losses: UnaryLosses
    budget: Budget
    plan: RefinePlan
    table: LatencyTable
    steps: list[RefineStep] = field(default_factory=list)
    measured: dict[ChannelConfig, LatencyEstimate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._learn()

    def _learn(self) -> None:
        """What the table now says, and what it still gets wrong of those measured near the budget."""
        self.question = Question(self.table, self.losses, self.budget.limits)
        choices = self.question.choices(list(self.measured))
        errors = [math.log(self.measured[one.config].value_ms / one.predicted_ms) for one in choices]
        # Two more of no error: a single measurement does not convince.
        self.bias, self.scatter = sum(errors) / (len(errors) + 2), float(np.std(errors)) if errors else 0.0

    def measure(self, number: int, candidates: Sequence[_Candidate]) -> None:
        """Measure candidates and let the table learn from them."""
        configs = [candidate.choice.config for candidate in candidates]
        self.bench.measure(configs, visits=self.plan.visits, sessions=self.plan.sessions)
        for choice, _, _ in candidates:
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
        self._learn()

    def meets(self, config: ChannelConfig) -> bool:
        """Whether a configuration measured within the budget with its whole interval."""
        return self.measured[config].high_ms <= self.budget.latency_ms

    def best_measured(self) -> Choice | None:
        """The one of least predicted loss among those that measured within the budget."""
        within = [config for config in self.measured if self.meets(config)]
        return min(self.question.choices(within), key=lambda choice: choice.predicted_loss, default=None)

    def candidates(self, result: SearchResult) -> list[_Candidate]:
        """The best unmeasured configurations at several latencies about the budget, the most promising first."""
        [chosen] = self.question.choices([result.chosen.config])
        deviation = self._deviation(chosen)
        found = {result.chosen.config, *(choice.config for choice in result.alternatives)}
        for level in _LEVELS:
            found |= self._best_within(self.budget.latency_ms * math.exp(level * deviation - self.bias))
        choices = self.question.choices([config for config in found if config not in self.measured])
        best = self.best_measured()
        # Without any, all that is feasible is an improvement on the worst that is worth looking at.
        reference = best.predicted_loss if best else max(point.predicted_loss for point in result.frontier)
        rated = [self._rated(choice, reference) for choice in choices]
        return sorted(rated, key=lambda candidate: (-candidate.gain, candidate.choice.config))

    def _best_within(self, latency_ms: float) -> set[ChannelConfig]:
        try:
            sum_ms = self.question.curve.sum_ms(latency_ms)
            solution = solve(self.question.problem, sum_ms, count=2 * self.plan.candidates)
        except InfeasibleError:
            return set()
        points = (solution.best, *solution.alternatives)
        return {self.table.space.config(point.assignment) for point in points}

    def _rated(self, choice: Choice, reference: float) -> _Candidate:
        deviation = self._deviation(choice)
        spare = math.log(self.budget.latency_ms / choice.predicted_ms) - self.bias - self._half_width()
        chance = 0.5 * math.erfc(-spare / deviation / math.sqrt(2))
        return _Candidate(choice, deviation, chance * max(reference - choice.predicted_loss, 0.0))

    def _deviation(self, choice: Choice) -> float:
        """How surely a configuration's latency is predicted: the relative standard deviation."""
        own = math.log(choice.high_ms / choice.low_ms) / (2 * _NORMAL_95)
        return max(math.hypot(own, self.scatter), _LEAST_DEVIATION)

    def _half_width(self) -> float:
        """How far above its value a measurement's interval will reach; of the logarithm."""
        if self.measured:
            return float(np.median([math.log(one.high_ms / one.value_ms) for one in self.measured.values()]))
        error = float(noise_of(self.table).of_visit(np.log(self.budget.latency_ms)))
        return _NORMAL_95 * error / math.sqrt(self.plan.visits)

    def settled(self, result: SearchResult, candidates: Sequence[_Candidate]) -> bool:
        """Whether nothing unmeasured is expected to be better by what the table's error is worth."""
        if not candidates:
            return True
        if self.best_measured() is None:
            return False
        first = candidates[0]
        frontier_ms = [point.predicted_ms for point in result.frontier]
        frontier_loss = [point.predicted_loss for point in result.frontier]
        about_ms = self.budget.latency_ms
        earlier_ms = about_ms * math.exp(-first.deviation)
        lost_earlier, lost = np.interp([earlier_ms, about_ms], frontier_ms, frontier_loss)
        return first.gain <= self.plan.settled * float(lost_earlier - lost)


def refine(
    bench: Bench,
    table: LatencyTable,
    losses: UnaryLosses,
    budget: Budget,
    folder: RunFolder,
    *,
    plan: RefinePlan | None = None,
) -> SearchResult:
    """Search, measure what is most promising, learn, search again; writes ``search.json`` and the learned table.

    The chosen configuration is the best of those whose own measurement, interval included, is within the budget.

    Raises:
        MismatchError: The bench measures something else than the table predicts, such as another statistic.
        InfeasibleBudgetError: Nothing that was measured is within the budget.
    """
    if found := differences(bench.facts, table.made_of):
        raise refusal("The latency table is of something else than is measured now", found, remedy=_SAME)
    plan = plan or RefinePlan()
    until = time.monotonic() + plan.time_budget_s
    loop = _Loop(bench, losses, budget, plan, table)
    for number in range(plan.most_rounds):
        result = search(loop.table, losses, budget)
        candidates = loop.candidates(result)
        late = time.monotonic() >= until and loop.best_measured() is not None
        if late or loop.settled(result, candidates):
            break
        bench.progress.say(
            f"Trying {min(plan.candidates, len(candidates))} candidates near {budget}, round {number + 1}"
        )
        loop.measure(number, candidates[: plan.candidates])
    loop.table.write(folder.table)
    return _write_result(loop, folder)


def _write_result(loop: _Loop, folder: RunFolder) -> SearchResult:
    chosen = loop.best_measured()
    if chosen is None:
        nearest = min(loop.measured.values(), key=lambda estimate: estimate.value_ms)
        raise InfeasibleBudgetError(
            f"No configuration was {loop.bench.setting.clock.words.past} within the budget of {loop.budget}; "
            f"the nearest of {len(loop.measured)} candidates took {nearest.value_ms:.4g} ms "
            f"({nearest.low_ms:.4g} to {nearest.high_ms:.4g}).",
            remedy="Run again when the device is quieter, or raise `budget`.",
        )
    result = search(loop.table, loop.losses, loop.budget)
    gap = max(0.0, chosen.predicted_loss - result.certificate.lower_bound)
    result = result.model_copy(
        update={
            "chosen": chosen,
            "certificate": result.certificate.model_copy(update={"gap": gap}),
            "refinement": tuple(loop.steps),
            "measured": loop.measured[chosen.config],
            "warnings": loop.bench.warnings,
        }
    )
    result.write(folder.search)
    return result
