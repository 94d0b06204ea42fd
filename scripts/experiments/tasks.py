"""The experiment's pieces of work: each is a process of its own on one thread, and ends with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from choosing import Choice, Slimmed, exact, greedy, lagrangian, settled
from protocol import RECIPE, Experiment, Final
from scipy.stats import spearmanr
from spent import Spent

from edgewidth.cli.progress import TerminalProgress
from edgewidth.devices.device import open_device
from edgewidth.files import write_atomic
from edgewidth.latency.curve import Curve
from edgewidth.losses.fit import Evaluations, fit_losses
from edgewidth.losses.focus import Focus
from edgewidth.records.budget import Budget
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.records.table import LatencyTable
from edgewidth.stages.bench import open_bench
from edgewidth.stages.export import export
from edgewidth.stages.finetune import finetune
from edgewidth.stages.profile import ProfilePlan, profile
from edgewidth.stages.search import NO_LIMITS, cost_problem
from edgewidth.stages.train import Aim, train
from edgewidth.stages.validate import validate
from edgewidth.training.evaluation import Evaluator, evaluate_losses
from edgewidth.training.networks.weights import load_supernet
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from choosing import Propose

    from edgewidth.stages.folder import RunFolder

PLAN = ProfilePlan(first=40, target_error_percent=1.0)
HELD_OUT = 100
"""Configurations of either kind by which losses are judged."""


class Task(NamedTuple):
    """A piece of work: what must be there before, what is there afterwards, and what it does."""

    name: str
    needs: tuple[Path, ...]
    makes: Path
    work: Callable[[], None]


def all_tasks(experiment: Experiment) -> list[Task]:
    """Every task in the order of its importance: what comparisons need first comes first."""
    tasks = [Task("table", (), experiment.budgets, lambda: _measure(experiment))]
    for seed in dict.fromkeys(seed for seed, _ in experiment.supernets):
        finals = [final for final in experiment.finals if final.supernet == seed and final.method != "narrowed"]
        tasks += [_supernet_task(experiment, seed), _losses_task(experiment, seed)]
        tasks += [_choice_task(experiment, final) for final in _choosing(finals)]
        tasks += [_quality_task(experiment, seed), *(_final_task(experiment, final) for final in finals)]
    narrowed = [final for final in experiment.finals if final.method == "narrowed"]
    tasks += [_narrowing_task(experiment, final.supernet, final.budget) for final in _choosing(narrowed)]
    tasks += [_choice_task(experiment, final) for final in _choosing(narrowed)]
    tasks += [_final_task(experiment, final) for final in narrowed]
    latencies = experiment.folder / "latencies.json"
    trained = tuple(experiment.final(final).artifacts for final in experiment.finals)
    return [*tasks, Task("latencies", trained, latencies, lambda: _latencies(experiment, latencies))]


def _choosing(finals: Sequence[Final]) -> list[Final]:
    """One of the final trainings of every choice."""
    return list({final.choice: final for final in finals}.values())


def _supernet_task(experiment: Experiment, seed: int) -> Task:
    folder = experiment.supernet(seed)

    def work() -> None:
        data = experiment.data
        train_supernet(
            experiment.space,
            data,
            RECIPE,
            supernet_out=folder.supernet,
            log=folder.training_log,
            trained_out=folder.trained,
            trained_log=folder.trained_log,
            checkpoints=folder.checkpoints,
            seed=seed,
            progress=TerminalProgress(),
        )

    return Task(f"supernet-{seed}", (), folder.supernet, work)


def _losses_task(experiment: Experiment, seed: int) -> Task:
    folder, budgets = experiment.supernet(seed), experiment.protocol.budgets

    def work() -> None:
        space, data = experiment.space, experiment.data
        losses = evaluate_losses(
            space,
            data,
            supernet=folder.supernet,
            evaluations=folder.evaluations,
            seed=seed,
            most=RECIPE.evaluations,
            focus=_focus(experiment, budgets),
            progress=Spent(folder.path / "evaluation.json", TerminalProgress()),
        )
        losses.write(folder.losses)

    return Task(f"losses-{seed}", (folder.supernet, experiment.budgets), folder.losses, work)


def _narrowing_task(experiment: Experiment, seed: int, budget: float) -> Task:
    folder = experiment.narrowed(seed, budget)

    def work() -> None:
        aim = Aim(LatencyTable.read(experiment.device.table), Budget(latency_ms=experiment.budget_ms(budget)))
        train(experiment.space, experiment.data, RECIPE, folder, seed=seed, aim=aim, progress=TerminalProgress())

    return Task(f"narrowing-{seed}-{budget:g}", (experiment.budgets,), folder.losses, work)


def _focus(experiment: Experiment, budgets: Sequence[float]) -> Focus:
    table = LatencyTable.read(experiment.device.table)
    sums_ms = (Curve.of(table).sum_ms(experiment.budget_ms(budget)) for budget in budgets)
    return Focus(cost_problem(table, NO_LIMITS), tuple(sums_ms), "latency")


def _choice_task(experiment: Experiment, final: Final) -> Task:
    path = experiment.choice(final)
    folder = _supernet_of(experiment, final)

    def work() -> None:
        method = _method(experiment, final)
        with open_bench(experiment.target, experiment.space, experiment.device) as bench:
            settled(bench, final, experiment.budget_ms(final.budget), method).write(path)

    needs = [experiment.budgets] if final.method == "uniform" else [experiment.budgets, folder.losses]
    larger = [budget for seed, budget in experiment.supernets if seed == final.supernet and budget > final.budget]
    if final.method == "greedy" and larger:
        # Slimming passes by the larger budgets: what they evaluated is read from their file.
        needs.append(experiment.choice(final._replace(budget=min(larger))))
    return Task(f"choice-{final.choice}", tuple(needs), path, work)


def _supernet_of(experiment: Experiment, final: Final) -> RunFolder:
    if final.method == "narrowed":
        return experiment.narrowed(final.supernet, final.budget)
    return experiment.supernet(final.supernet)


def _method(experiment: Experiment, final: Final) -> Propose:
    folder, table = _supernet_of(experiment, final), LatencyTable.read(experiment.device.table)
    if final.method == "uniform":
        return lambda _: experiment.space.uniform(final.budget)
    if final.method == "greedy":
        evaluator = Evaluator(load_supernet(folder.supernet, experiment.space), experiment.data)
        return greedy(table, Slimmed(folder.path / "slimming.jsonl", experiment.space, evaluator.loss))
    losses = UnaryLosses.read(folder.losses)
    return lagrangian(table, losses) if final.method == "lagrangian" else exact(table, losses)


def _quality_task(experiment: Experiment, seed: int) -> Task:
    """How well the losses predict, and what the choices lose on images that no method has seen."""
    folder = experiment.supernet(seed)
    path = folder.path / "quality.json"
    choices = _choosing([final for final in experiment.finals if _judged(final, seed)])

    def work() -> None:
        losses = UnaryLosses.read(folder.losses)
        supernet = load_supernet(folder.supernet, experiment.space)
        held_out = _held_out(experiment, losses, Evaluator(supernet, experiment.data))
        evaluator = Evaluator(supernet, experiment.data, images="holdout")
        chosen = {final.choice: Choice.read(experiment.choice(final)).config for final in choices}
        judged = {name: evaluator.loss(config) for name, config in chosen.items()}
        write_atomic(path, json.dumps({"held_out": held_out, "judged": judged}, indent=1).encode())

    return Task(f"quality-{seed}", (folder.losses, *map(experiment.choice, choices)), path, work)


def _judged(final: Final, seed: int) -> bool:
    return final.method != "narrowed" and (final.supernet == seed or final.method == "uniform")


def _held_out(experiment: Experiment, losses: UnaryLosses, evaluator: Evaluator) -> dict[str, dict[str, float]]:
    """Predicted against evaluated losses of configurations that were not fitted, random and near the middle budget."""
    space, rng = experiment.space, np.random.default_rng(9)
    budgets = experiment.protocol.budgets
    focus = _focus(experiment, budgets[len(budgets) // 2 : len(budgets) // 2 + 1])
    fit = fit_losses(
        space,
        Evaluations([one.config for one in losses.fitted], np.array([one.excess_loss for one in losses.fitted])),
    )
    drawn = {
        "random": [space.sample(rng) for _ in range(HELD_OUT)],
        "near the budget": focus.near(space, fit.mean_factors, focus.budgets[0], HELD_OUT, rng),
    }
    problem, known, found = (
        focus.with_losses(fit.mean_factors),
        {one.config for one in losses.fitted},
        {},
    )
    for kind, configs in drawn.items():
        new = [config for config in dict.fromkeys(configs) if config not in known]
        predicted = problem.loss(np.array([space.indices(config) for config in new]))
        evaluated = np.array([evaluator.loss(config) for config in new])
        correlation, rank = np.corrcoef(predicted, evaluated)[0, 1], spearmanr(predicted, evaluated).statistic
        found[kind] = {"configs": len(new), "spearman": float(rank), "squared_correlation": float(correlation**2)}
    return found


def _final_task(experiment: Experiment, final: Final) -> Task:
    folder = experiment.final(final)

    def work() -> None:
        choice, data, progress = Choice.read(experiment.choice(final)), experiment.data, TerminalProgress()
        space, seed = experiment.space, final.seed
        finetune(space, choice.config, data, RECIPE, folder, supernet=None, seed=seed, progress=progress)
        # Whatever quantisation costs: none is trained longer than its rivals.
        export(folder.weights, data, RECIPE, folder, max_int8_drop_points=100.0, seed=seed, progress=progress)

    return Task(f"final-{final}", (experiment.choice(final),), folder.artifacts, work)


def _measure(experiment: Experiment) -> None:
    """The latency table, and the uniform networks that are the budgets."""
    space = experiment.space
    with open_bench(experiment.target, space, experiment.device, progress=TerminalProgress()) as bench:
        profile(bench, experiment.device, plan=PLAN)
        uniforms = {budget: space.uniform(budget) for budget in experiment.protocol.budgets}
        bench.measure(uniforms.values())
        found = {f"{budget:g}": bench.estimate(config).model_dump(mode="json") for budget, config in uniforms.items()}
    write_atomic(experiment.budgets, json.dumps(found, indent=1).encode())


def _latencies(experiment: Experiment, path: Path) -> None:
    """Every final network's own int8 file, measured on the device."""
    found = {}
    with open_device(experiment.target.profile) as device:
        for final in experiment.finals:
            artifact = experiment.final(final).model(Precision.INT8, FormatName.TFLITE)
            report = validate(artifact, experiment.target, measurements=experiment.device.measurements, device=device)
            found[str(final)] = report.estimate.model_dump(mode="json")
    write_atomic(path, json.dumps(found, indent=1).encode())
