"""The answer, in a word and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.records.measurement import Clock
from edgewidth.records.validation import over_memory

if TYPE_CHECKING:
    from edgewidth.records.budget import Budget
    from edgewidth.records.measurement import LatencyEstimate
    from edgewidth.records.report import Measured, Predicted, Verdict

NEARLY_ALL_PERCENT = 90.0


def compare(predicted: Predicted | None) -> str | None:
    """What was predicted, and how the measurement differs from it, as one sentence; None: they cannot be compared."""
    if predicted is None or (off := predicted.difference_percent) is None:
        return None
    text = (
        f"Predicted: {predicted.value_ms:.4g} ms (95 % interval {predicted.low_ms:.4g} to {predicted.high_ms:.4g} ms)"
    )
    return f"{text}; the file is {abs(off):.2g} % {'slower' if off > 0 else 'faster'} than that."


def verdict_of(measured: Measured | None, budget: Budget | None) -> Verdict:
    """Only a measurement of the emitted file can be within a budget; a prediction never is."""
    if measured is None or budget is None:
        return "partial"
    fits = measured.value_ms <= budget.latency_ms and not over_memory(measured.ran, budget)
    return "within budget" if fits else "over budget"


def summarise(measured: Measured | None, budget: Budget | None, missing: Sequence[str], clock: Clock) -> str:
    """The verdict as one sentence."""
    if measured is None:
        todo = f"; still to do: {', '.join(missing)}" if missing else ""
        return f"No emitted file has been {clock.words.past} yet{todo}."
    interval = f"95 % interval {measured.low_ms:.4g} to {measured.high_ms:.4g} ms"
    fact = f"{measured.file} has a {measured.statistic} latency of {measured.value_ms:.4g} ms ({interval})"
    if rest := uncounted(measured, budget, clock):
        fact = f"{fact} — {rest}"
    if budget is None:
        return f"{fact}; no budget of its {measured.statistic} was given."
    apart = abs(100 * measured.value_ms / budget.latency_ms - 100)
    side = "above" if measured.value_ms > budget.latency_ms else "below"
    memory = over_memory(measured.ran, budget)
    more = f"; it takes {memory}" if memory else ""
    return f"{fact}: {apart:.1f} % {side} the budget of {budget.latency_ms:.4g} ms{more}."


def uncounted(estimate: LatencyEstimate | Measured, budget: Budget | None, clock: Clock) -> str:
    """What the runs would say that do not count, as the end of a sentence; empty where nearly all count.

    Nothing disturbs a device whose clock counts its own instructions, but commands of this machine that run there in
    between: with one look a second 24 of 150 runs took twice as long as the others.
    """
    if estimate.all_ms is None or estimate.counted_percent >= NEARLY_ALL_PERCENT:
        return ""
    cause = "something disturbed the device" if clock is Clock.WALL else "this machine looked in on them"
    text = (
        f"{100 - estimate.counted_percent:.0f} % of its runs do not count, since {cause}; "
        f"with them it would be {estimate.all_ms:.4g} ms"
    )
    over = budget is not None and estimate.value_ms <= budget.latency_ms < estimate.all_ms
    return f"{text}, over the budget" if over else text
