"""What the results say of a supernet: how well its losses predict, and what finding them took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from choosing import Slimmed
from protocol import Final

from edgewidth.documents import Record
from edgewidth.records.losses import UnaryLosses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol import Experiment

    from edgewidth.graph.space import ChannelConfig


class Learned(Record):
    """What the rivals of one budget taught: how the supernet's losses rank them, and how the corrected ones do."""

    budget: float
    rivals: int
    supernet_spearman: float
    corrected_spearman: float


class Supernet(Record):
    """One supernet whose losses have been judged, and what the rivals of its budgets taught."""

    seed: int
    evaluated: int
    """Configurations: those fitted, and those held out to see when that was enough."""
    held_out: dict[str, dict[str, int | float]]
    """How well these predict, by kind of configuration."""
    seconds: float
    """Of one processor for the evaluation, all budgets together …"""
    slimmed: int
    slimming_seconds: float
    """… and for the configurations that greedy slimming per millisecond asked for, all budgets together."""
    learned: tuple[Learned, ...]


def judged_supernets(experiment: Experiment) -> list[Supernet]:
    """Those whose losses have been judged."""
    found = []
    for seed in range(experiment.protocol.supernets):
        finals = [
            final for final in experiment.protocol.finals if final.supernet == seed and final.method == "corrected"
        ]
        folder = experiment.supernet(Final("exact", 0.0, seed, 0))
        quality = folder.path / "quality.json"
        if not quality.exists():
            continue
        losses = UnaryLosses.read(folder.losses)
        seconds = json.loads((folder.path / "evaluation.json").read_text(encoding="utf-8"))["seconds"]
        slimmed = Slimmed(folder.path / "greedy.jsonl", experiment.space, _unknown)
        known = {final.budget: experiment.corrected(final).losses for final in finals}
        read = {budget: UnaryLosses.read(path).rivals for budget, path in known.items() if path.exists()}
        learned = tuple(
            Learned(
                budget=budget,
                rivals=len(rivals.rivals),
                supernet_spearman=rivals.supernet_spearman,
                corrected_spearman=rivals.corrected_spearman,
            )
            for budget, rivals in read.items()
            if rivals
        )
        found.append(
            Supernet(
                seed=seed,
                evaluated=len(losses.fitted) + sum(len(one.evaluated) for one in losses.held_out),
                held_out=json.loads(quality.read_text(encoding="utf-8")),
                seconds=seconds,
                slimmed=len(slimmed),
                slimming_seconds=slimmed.seconds,
                learned=learned,
            )
        )
    return found


def supernet_lines(supernets: Sequence[Supernet]) -> list[str]:
    """The tables of them; nothing where none is judged."""
    if not supernets:
        return []
    lines = [
        "How well the unary losses predict what configurations that were never fitted lose on the supernet (rank",
        "correlation), and what they cost beside greedy slimming, in seconds of one processor for all budgets:",
        "",
        "| supernet | evaluated | kind | held out | Spearman | evaluation (s) | slimming (s) | share |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in supernets:
        cost = f"{one.seconds:.0f} | "
        if one.slimmed:
            cost += f"{one.slimming_seconds:.0f} for {one.slimmed} | {one.seconds / one.slimming_seconds:.3f}"
        else:
            cost += "not done | "
        lines += [
            f"| {one.seed} | {one.evaluated} | {kind} | {found['configs']} | {found['spearman']:.3f} | {cost} |"
            for kind, found in one.held_out.items()
        ]
    learned = [(one.seed, taught) for one in supernets for taught in one.learned]
    if learned:
        lines += [
            "",
            "What rivals taught: how the losses rank them beside their losses after training (rank correlation), those",
            "of the supernet and the corrected ones, each rival predicted without its own scores:",
            "",
            "| supernet | budget | rivals | supernet | corrected |",
            "|---|---|---|---|---|",
        ]
    lines += [
        f"| {seed} | {one.budget:.0%} | {one.rivals} | {one.supernet_spearman:.2f} | {one.corrected_spearman:.2f} |"
        for seed, one in learned
    ]
    return [*lines, ""]


def _unknown(config: ChannelConfig) -> float:
    raise KeyError(str(config))
