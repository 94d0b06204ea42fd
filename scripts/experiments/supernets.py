"""What the results say of a supernet: how well its losses predict, and what finding them took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from choosing import Slimmed
from protocol import Final

from edgewidth.records.losses import UnaryLosses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol import Experiment

    from edgewidth.graph.space import ChannelConfig


class Supernet(NamedTuple):
    """One supernet, once every method has chosen with it."""

    seed: int
    evaluated: int
    """Configurations: those fitted, and those held out to see when that was enough."""
    held_out: Mapping[str, Mapping[str, float]]
    """How well these predict, by kind of configuration."""
    seconds: float
    """Of one processor for the evaluation, all budgets together …"""
    slimmed: int
    slimming_seconds: float
    """… and for the configurations that greedy slimming asked for, all budgets together."""
    judged: Mapping[str, float]
    """The losses of what was chosen, on images that no method has seen."""


def judged_supernets(experiment: Experiment) -> list[Supernet]:
    """Those whose losses have been judged."""
    found = []
    for seed in dict.fromkeys(seed for seed, _ in experiment.supernets):
        folder = experiment.supernet(seed)
        quality = folder.path / "quality.json"
        if not quality.exists():
            continue
        known = json.loads(quality.read_text(encoding="utf-8"))
        losses = UnaryLosses.read(folder.losses)
        seconds = json.loads((folder.path / "evaluation.json").read_text(encoding="utf-8"))["seconds"]
        slimmed = Slimmed(folder.path / "slimming.jsonl", experiment.space, _unknown)
        evaluated = len(losses.fitted) + sum(len(one.evaluated) for one in losses.held_out)
        found.append(
            Supernet(seed, evaluated, known["held_out"], seconds, len(slimmed), slimmed.seconds, known["judged"])
        )
    return found


def supernet_lines(experiment: Experiment) -> list[str]:
    """The tables of them; nothing where none is judged."""
    supernets = judged_supernets(experiment)
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
    lines += ["", "What the choices lose on the supernet, on images that no method has seen (nats):", ""]
    # Narrowing has a supernet of its own, in which losses are others.
    methods = [method for method in experiment.protocol.methods if method != "narrowed"]
    lines += [f"| supernet | budget | {' | '.join(methods)} |", f"|---|---{'|---' * len(methods)}|"]
    for one in supernets:
        for budget in (budget for seed, budget in experiment.supernets if seed == one.seed):
            finals = [Final(method, budget, 0 if method == "uniform" else one.seed, 0) for method in methods]
            judged = [one.judged[final.choice] for final in finals]
            lines.append(f"| {one.seed} | {budget:g} | {' | '.join(f'{loss:.4f}' for loss in judged)} |")
    return [*lines, ""]


def _unknown(config: ChannelConfig) -> float:
    raise KeyError(str(config))
