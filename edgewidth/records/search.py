"""What a search found."""

from __future__ import annotations

from typing import Any, ClassVar

from edgewidth.documents import Record
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.budget import Budget
from edgewidth.records.measurement import Clock, LatencyEstimate, MeasurementWarning
from edgewidth.records.provenance import Made
from edgewidth.records.upgrades import name_visits
from edgewidth.shown import Shown


class Choice(Record):
    """A configuration with what table and losses predict of it."""

    config: ChannelConfig
    predicted_ms: float
    low_ms: float
    high_ms: float
    predicted_loss: float
    """Excess loss over the maximum network, in nats."""


class Certificate(Record):
    """How much better a configuration could exist, under the table and the losses.

    No configuration within the budget has a loss below ``lower_bound``; ``gap`` is the chosen one's loss less
    that bound. ``grid_error_ms`` is the most by which rounding to the latency grid can misjudge a latency.
    """

    lower_bound: float
    gap: float
    grid_error_ms: float
    bounded: bool = False
    """Whether too many widths meet in the network for tables of them all: then the frontier is the best that was
    found, and so is the chosen configuration where the gap is above 0; how good they are, the bounds say."""
    frontier_gap: float | None = None
    """The most by which a point of the frontier could be improved on; None: not noted."""
    memory_bounded: bool = False
    """Whether so many widths meet in a layer that its activations were counted with the greatest of some: with a
    budget of activations, a better configuration may then keep it that was ruled out."""

    @property
    def reservation(self) -> str:
        """What it does not say, in a sentence; empty: it says all."""
        if not self.memory_bounded:
            return ""
        return (
            "It is about configurations whose activations keep the budget with the greatest of some widths, since very "
            "many meet in a layer; others that keep it, too, were ruled out, and may be better."
        )


class FrontierPoint(Record):
    """The best configuration that stays within a latency."""

    config: ChannelConfig
    predicted_ms: float
    predicted_loss: float


class RefineStep(Record):
    """One configuration near the budget that was measured to make sure of the choice."""

    round: int
    config: ChannelConfig
    predicted_ms: float
    measured: LatencyEstimate
    within_budget: bool


class SearchResult(Shown, Made):
    """The chosen configuration, why, and what other methods would have chosen on the same numbers."""

    schema_name: ClassVar[str] = "edgewidth/search-result"
    schema_version: ClassVar[int] = 2

    space: SearchSpace
    clock: Clock = Clock.WALL
    """That of the latency table: what a nanosecond of its latencies is."""
    budget: Budget
    chosen: Choice
    certificate: Certificate
    frontier: tuple[FrontierPoint, ...]
    alternatives: tuple[Choice, ...] = ()
    """The next best within the budget."""
    baselines: dict[str, Choice]
    """What other methods would have chosen, by their names: ``uniform``, ``lagrangian``, ``greedy`` and the like."""
    refinement: tuple[RefineStep, ...] = ()
    """What was measured to close the loop, in order; empty: the choice is a prediction."""
    measured: LatencyEstimate | None = None
    """The chosen configuration's own measurement, as a variant."""
    warnings: tuple[MeasurementWarning, ...] = ()
    """What made the measurements of the refinement less trustworthy."""

    @property
    def runner_up(self) -> Choice | None:
        """The best of the others within the budget; None: there is no other, or it was not kept."""
        return next((choice for choice in self.alternatives if choice.config != self.chosen.config), None)

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        del version
        name_visits(content.get("measured"), *(step["measured"] for step in content.get("refinement", ())))
        return content
