"""The stage that chooses: latency table and unary losses become a problem of numbers, its solution a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InfeasibleBudgetError, MismatchError
from edgewidth.files import cache_folder
from edgewidth.formats.registry import FORMATS
from edgewidth.formats.sizes import element_bytes
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.costs import mac_factors, peak_factors
from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.curve import Curve
from edgewidth.latency.predict import Predictor, latency_factors
from edgewidth.records.budget import Limits
from edgewidth.records.measurement import Precision
from edgewidth.records.provenance import Provenance
from edgewidth.records.search import Certificate, Choice, FrontierPoint, SearchResult
from edgewidth.search.baselines import greedy, lagrangian, uniform
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor
from edgewidth.search.problem import InfeasibleError, PeakBudget, Problem, SumBudget

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.budget import Budget, BudgetRequest
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.table import LatencyTable
    from edgewidth.search.frontier import Frontier

ALTERNATIVES = 16
"""How many of the next best configurations are kept."""
FRONTIER_POINTS = 200
"""The frontier has thousands; so many are enough to draw it and to choose from it."""

NO_LIMITS = Limits()


@dataclass(frozen=True)
class Question:
    """A table and losses of one search space: everything that a search stands on.

    Raises:
        MismatchError: They are of different search spaces.
    """

    table: LatencyTable
    losses: UnaryLosses
    limits: Limits = NO_LIMITS

    def __post_init__(self) -> None:
        if self.table.space.fingerprint != self.losses.space.fingerprint:
            raise MismatchError(
                "The latency table and the losses are of different search spaces; "
                f"{self.table.space.differences(self.losses.space, here='of the table', there='of the losses')}.",
                remedy="Make both with the same `network`, `resolution`, widths and data.",
            )

    @cached_property
    def problem(self) -> Problem:
        """Its numbers. Its latencies are sums of the table's entries: ``curve`` translates."""
        from edgewidth.losses.correction import loss_factors  # noqa: PLC0415  scipy loads when it is needed

        return replace(cost_problem(self.table, self.limits, self.losses.class_names), losses=loss_factors(self.losses))

    @cached_property
    def curve(self) -> Curve:
        """The conversion of sums of the table's entries to latencies, and back."""
        return Curve.of(self.table)

    @cached_property
    def predictor(self) -> Predictor:
        """Predicts latencies with their intervals."""
        return Predictor(self.table)

    def choices(self, configs: Sequence[ChannelConfig]) -> list[Choice]:
        """Configurations with what is predicted of them."""
        if not configs:
            return []
        latency = self.predictor.predict(configs)
        losses = self.problem.loss(np.array([self.table.space.indices(config) for config in configs], dtype=np.intp))
        rows = zip(configs, latency.mean_ms, latency.low_ms, latency.high_ms, losses, strict=True)
        return [
            Choice(
                config=config,
                predicted_ms=float(ms),
                low_ms=float(low),
                high_ms=float(high),
                predicted_loss=float(loss),
            )
            for config, ms, low, high, loss in rows
        ]


def search(table: LatencyTable, losses: UnaryLosses, budget: Budget) -> SearchResult:
    """The best configuration within the budget with its certificate, the frontier, and what baselines would choose.

    Raises:
        MismatchError: Table and losses are of different spaces.
        InfeasibleBudgetError: No configuration is predicted within the budget; the message has the fastest.
    """
    question = Question(table, losses, budget.limits)
    problem, curve, space = question.problem, question.curve, table.space
    within_ms = curve.sum_ms(budget.latency_ms)
    try:
        solution = solve(problem, within_ms, count=1 + ALTERNATIVES)
    except InfeasibleError as error:
        raise answer_no(budget, curve, error) from error
    baselines = {
        "uniform": uniform(problem, within_ms, [space.indices(config) for config in space.uniforms()]),
        "greedy": greedy(problem, within_ms),
        "lagrangian": lagrangian(problem, within_ms),
    }
    found = {name: space.config(point.assignment) for name, point in baselines.items() if point is not None}
    best = space.config(solution.best.assignment)
    others = [space.config(point.assignment) for point in solution.alternatives]
    chosen, *rest = question.choices([best, *others, *found.values()])
    certificate, frontier = solution.certificate, solution.frontier
    return SearchResult(
        provenance=Provenance(inputs={"losses": losses.digest}),
        space=space,
        clock=table.setting.clock,
        budget=budget,
        chosen=chosen,
        certificate=Certificate(
            lower_bound=certificate.lower_bound,
            gap=certificate.gap,
            grid_error_ms=certificate.grid_error_ms * curve.steepest,
            bounded=certificate.bounded,
            memory_bounded=budget.limits.activation_bytes is not None
            and not all(peak.exact for peak in peak_factors(space)),
            frontier_gap=float((frontier.losses - frontier.lower_bounds).max()),
        ),
        frontier=_thinned(frontier, space, curve),
        alternatives=tuple(rest[: len(others)]),
        baselines=dict(zip(found, rest[len(others) :], strict=True)),
    )


def cost_problem(table: LatencyTable, limits: Limits, output_names: Sequence[str] = ()) -> Problem:
    """What every configuration costs by a table, within which limits; without losses.

    Its latencies are sums of the table's entries: a budget for them is ``Curve.of(table).sum_ms`` of the latency's.
    """
    latency = latency_factors(table)
    sums, peaks = further_budgets(table, limits, output_names)
    return Problem(
        sizes=tuple(len(variable.choices) for variable in table.space.variables),
        losses=(),
        latencies=(Factor((), np.array(latency.offset_ms)), *(Factor(*factor) for factor in latency.factors)),
        sums=sums,
        peaks=peaks,
    )


def further_budgets(
    table: LatencyTable, limits: Limits, output_names: Sequence[str]
) -> tuple[tuple[SumBudget, ...], tuple[PeakBudget, ...]]:
    """The limits beside latency as the search takes them, for files of the table's precision and runtime."""
    if limits == NO_LIMITS:
        return (), ()
    space, precision, format_name = table.space, Precision(table.setting.precision), table.setting.engine.file_format
    sums, peaks = [], []
    if limits.size_bytes is not None:
        size = VariantFactory(space, precision, format_name, cache_folder()).size
        most = limits.size_bytes - FORMATS[format_name].metadata_bytes(output_names)
        sums.append(SumBudget("size", tuple(Factor(*factor) for factor in size.factors(space)), most))
    if limits.macs is not None:
        sums.append(SumBudget("MACs", tuple(Factor(*factor) for factor in mac_factors(space)), limits.macs))
    if limits.activation_bytes is not None:
        bytes_each = element_bytes(precision)
        activations = (Factor(scope, bytes_each * values) for scope, values, _ in peak_factors(space))
        peaks.append(PeakBudget("activations", tuple(activations), limits.activation_bytes))
    return tuple(sums), tuple(peaks)


def answer_no(budget: Budget, curve: Curve, error: InfeasibleError) -> InfeasibleBudgetError:
    """What is told of a search that found nothing within the budget; ``curve``: of the table searched."""
    if error.fastest is not None and error.fastest.latency_ms > curve.sum_ms(budget.latency_ms):
        return infeasible(budget, float(curve.latency_ms(error.fastest.latency_ms)), "predicted")
    return InfeasibleBudgetError(
        f"No configuration keeps all of {budget}: the latency alone could be kept.",
        remedy="Raise one of `size_bytes`, `macs` and `activation_bytes`, or lower `resolution` or `min_width`.",
    )


def infeasible(budget: Budget, fastest_ms: float, how: str) -> InfeasibleBudgetError:
    """The error that says how fast the fastest configuration is; ``how``: measured or predicted."""
    return InfeasibleBudgetError(
        f"No configuration meets the budget of {budget}: the fastest is {how} at {fastest_ms:.4g} ms.",
        remedy="Raise `budget`, lower `resolution` or `min_width`, or use more `threads`.",
    )


def _thinned(frontier: Frontier, space: SearchSpace, curve: Curve) -> tuple[FrontierPoint, ...]:
    """At most ``FRONTIER_POINTS`` of the frontier, evenly spaced in latency, its ends among them."""
    latencies = curve.latency_ms(frontier.latencies_ms)
    even = np.linspace(latencies[0], latencies[-1], FRONTIER_POINTS)
    kept = np.unique(np.searchsorted(latencies, even).clip(0, len(latencies) - 1))
    return tuple(
        FrontierPoint(
            config=space.config(frontier.assignments[i]),
            predicted_ms=float(latencies[i]),
            predicted_loss=float(frontier.losses[i]),
        )
        for i in kept
    )


def table_budget(request: BudgetRequest, table: LatencyTable) -> Budget:
    """The budget in milliseconds; a share is of the uniform 1.0 network as the table predicts it.

    Profiling always measures that network, so the prediction is near its measurement.
    """
    uniform_ms = Predictor(table).predict([table.space.uniform(1.0)]).mean_ms[0]
    return request.resolve(float(uniform_ms), table.statistic)


def read_config(text: str, space: SearchSpace) -> ChannelConfig:
    """A configuration as text, or the one that a ``search.json`` chose.

    Raises:
        InputError: Not widths joined by hyphens, or not in the space.
        MismatchError: The search was in another space.
    """
    path = Path(text)
    if path.suffix != ".json":
        config = ChannelConfig.parse(text)
        space.check(config)
        return config
    result = SearchResult.read(path)
    if result.space.fingerprint != space.fingerprint:
        raise MismatchError(
            f"{path} chose in another search space; {space.differences(result.space)}.",
            remedy="Give the same `network`, `resolution`, widths and `data`.",
        )
    return result.chosen.config
