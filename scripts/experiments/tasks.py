"""The experiment's pieces of work: each is a process of its own on one thread, and ends with a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from choosing import Choice, Slimmed, exact, greedy, lagrangian, published, settled
from protocol import CUT, RECIPE, RIVALS, Experiment, Final, Uniform, Uniforms
from scipy.stats import spearmanr
from spent import Spent

from edgewidth.cli.progress import TerminalProgress
from edgewidth.documents import Document
from edgewidth.errors import InputError
from edgewidth.files import write_atomic
from edgewidth.formats.inspect import run_model
from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.curve import Curve
from edgewidth.latency.predict import Predictor
from edgewidth.losses.fit import Evaluations, fit_losses
from edgewidth.losses.focus import Focus
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import FormatName, LatencyEstimate, Precision
from edgewidth.records.table import LatencyTable
from edgewidth.stages.bench import open_bench
from edgewidth.stages.export import export
from edgewidth.stages.finetune import finetune
from edgewidth.stages.profile import ProfilePlan, profile
from edgewidth.stages.rivals import learn_from_rivals
from edgewidth.stages.search import NO_LIMITS, cost_problem
from edgewidth.stages.train import Aim, train
from edgewidth.stages.validate import validate
from edgewidth.training.evaluation import Evaluator, evaluate_losses
from edgewidth.training.networks.weights import load_supernet
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from choosing import Propose

    from edgewidth.data.split import ImageData
    from edgewidth.stages.folder import RunFolder

PLAN = ProfilePlan(first=40, target_error_percent=1.0)
HELD_OUT = 100
"""Configurations of either kind by which losses are judged."""


GIVEN = ("uniform", CUT)
"""The methods that choose the uniform network whose latency is the budget."""
SLIMMING = {"published": published, "greedy": greedy}
"""The methods that evaluate the supernet itself, step by step."""
SCORES = "scores.json"
"""The name of the file that a final network's task ends with."""


class Scores(Document):
    """A final network: what its files score on the test images, and what the int8 one takes on the device."""

    schema_name: ClassVar[str] = "edgewidth/equal-latency-scores"

    config: ChannelConfig
    measured: LatencyEstimate
    int8_percent: float
    float32_percent: float
    int8_loss: float
    """Cross entropy in nats."""


class Task(NamedTuple):
    """A piece of work: what must be there before, what is there afterwards, and what it does."""

    name: str
    needs: tuple[Path, ...]
    makes: Path
    work: Callable[[], None]


def all_tasks(experiment: Experiment, supernets: Collection[int] | None = None) -> list[Task]:
    """Every task in the order of its importance: what comparisons need first comes first.

    A final training is known once its configuration is chosen. ``supernets``: only theirs; None: those of all.
    """
    tasks = [Task("table", (), experiment.budgets, lambda: _measure(experiment))]
    for narrows in (False, True):
        finals = [final for final in experiment.protocol.finals if final.narrows is narrows]
        for final in finals:
            if supernets is not None and final.supernet not in supernets:
                continue
            trains = _narrowing_task if final.narrows else _supernet_task
            tasks += [trains(experiment, final), _losses_task(experiment, final)]
            tasks += [_correction_task(experiment, final)] if final.learns else []
            tasks += [_choice_task(experiment, final)]
            tasks += [] if final.narrows else [_quality_task(experiment, final)]
            if experiment.choice(final).exists():
                tasks += [_network_task(experiment, final)]
    return list({task.name: task for task in tasks}.values())


def _supernet_task(experiment: Experiment, final: Final) -> Task:
    folder, weights = experiment.supernet(final), experiment.protocol.weights

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
            seed=final.supernet,
            weights=Path(weights) if weights else None,
            progress=TerminalProgress(),
        )

    return Task(folder.path.name, (), folder.supernet, work)


def _narrowing_task(experiment: Experiment, final: Final) -> Task:
    folder = experiment.supernet(final)

    def work() -> None:
        aim = Aim(LatencyTable.read(experiment.device.table), experiment.budget(final.budget))
        seed, progress = final.supernet, TerminalProgress()
        train(experiment.space, experiment.data, RECIPE, folder, seed=seed, aim=aim, progress=progress)

    return Task(folder.path.name, (experiment.budgets,), folder.losses, work)


def _losses_task(experiment: Experiment, final: Final) -> Task:
    """Losses of a supernet, known well near all budgets; a narrowed one's came with its training."""
    folder, budgets = experiment.supernet(final), experiment.protocol.budgets

    def work() -> None:
        space, data = experiment.space, experiment.data
        losses = evaluate_losses(
            space,
            data,
            supernet=folder.supernet,
            evaluations=folder.evaluations,
            seed=final.supernet,
            most=RECIPE.evaluations,
            focus=_focus(experiment, budgets),
            progress=Spent(folder.path / "evaluation.json", TerminalProgress()),
        )
        losses.write(folder.losses)

    return Task(f"losses-{folder.path.name}", (folder.supernet, experiment.budgets), folder.losses, work)


def _focus(experiment: Experiment, budgets: Sequence[float]) -> Focus:
    table = LatencyTable.read(experiment.device.table)
    sums_ms = (Curve.of(table).sum_ms(experiment.budget(budget).latency_ms) for budget in budgets)
    return Focus(cost_problem(table, NO_LIMITS), tuple(sums_ms), "latency")


def _correction_task(experiment: Experiment, final: Final) -> Task:
    """Train rivals near the budget, and correct the losses by what they score."""
    known, folder = experiment.supernet(final), experiment.corrected(final)

    def work() -> None:
        folder.path.mkdir(parents=True, exist_ok=True)
        for own, others in ((folder.supernet, known.supernet), (folder.trained, known.trained)):
            if others.exists() and not own.exists():
                os.link(others, own)
        learn_from_rivals(
            LatencyTable.read(experiment.device.table),
            UnaryLosses.read(known.losses),
            experiment.budget(final.budget),
            experiment.data,
            experiment.recipe(experiment.protocol.passes),
            folder,
            share=RIVALS,
            seed=final.supernet,
            progress=TerminalProgress(),
        )

    return Task(f"rivals-{final.choice}", (known.losses, experiment.budgets), folder.losses, work)


def _choice_task(experiment: Experiment, final: Final) -> Task:
    path = experiment.choice(final)

    def work() -> None:
        if final.method in GIVEN:
            uniform = experiment.uniform(final.budget)
            Choice.given(final, uniform.config, uniform.measured).write(path)
            return
        budget_ms, method = experiment.budget(final.budget).latency_ms, _method(experiment, final)
        with open_bench(experiment.target, experiment.space, experiment.device) as bench:
            settled(bench, final, budget_ms, method).write(path)

    needs = [experiment.budgets, experiment.supernet(final).supernet]
    if final.learns:
        needs += [experiment.corrected(final).losses]
    elif final.method not in {*GIVEN, *SLIMMING}:
        needs += [experiment.supernet(final).losses]
    larger = [budget for budget in experiment.protocol.budgets if budget > final.budget]
    if final.method in SLIMMING and larger:
        # Slimming passes by the larger budgets: what they evaluated is read from their file.
        needs += [experiment.choice(final._replace(budget=min(larger)))]
    return Task(f"choice-{final.choice}", tuple(needs), path, work)


def _method(experiment: Experiment, final: Final) -> Propose:
    folder, table = experiment.supernet(final), LatencyTable.read(experiment.device.table)
    if final.method in SLIMMING:
        evaluator = Evaluator(load_supernet(folder.supernet, experiment.space), experiment.data)
        slimmed = Slimmed(folder.path / f"{final.method}.jsonl", experiment.space, evaluator.loss)
        return SLIMMING[final.method](table, slimmed)
    losses = UnaryLosses.read((experiment.corrected(final) if final.learns else folder).losses)
    return lagrangian(table, losses) if final.method == "lagrangian" else exact(table, losses)


def _quality_task(experiment: Experiment, final: Final) -> Task:
    """How well a supernet's losses predict configurations that were never evaluated."""
    folder = experiment.supernet(final)
    path = folder.path / "quality.json"

    def work() -> None:
        evaluator = Evaluator(load_supernet(folder.supernet, experiment.space), experiment.data)
        found = _held_out(experiment, UnaryLosses.read(folder.losses), evaluator)
        write_atomic(path, json.dumps(found, indent=1).encode())

    return Task(f"quality-{folder.path.name}", (folder.losses,), path, work)


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


def _network_task(experiment: Experiment, final: Final) -> Task:
    """A final training, its files, and what the int8 file scores and takes."""
    config = Choice.read(experiment.choice(final)).config
    folder = experiment.network(final, config)
    scores = folder.path / SCORES

    def work() -> None:
        space, data, recipe = experiment.space, experiment.data, experiment.recipe(experiment.passes(final, config))
        begun, seed, progress = experiment.supernet(final), final.seed, TerminalProgress()
        supernet, weights = (None, begun.trained) if final.method == CUT else (begun.supernet, None)
        if not folder.weights.exists():
            finetune(
                space, config, data, recipe, folder, supernet=supernet, weights=weights, seed=seed, progress=progress
            )
        # Whatever quantisation costs: none is trained longer than its rivals.
        export(folder.weights, data, recipe, folder, max_int8_drop_points=100.0, seed=seed, progress=progress)
        int8 = folder.model(Precision.INT8, FormatName.TFLITE)
        report = validate(int8, experiment.target, measurements=experiment.device.measurements)
        judged(folder, data, config, report.estimate).write(scores)

    return Task(f"network-{folder.path.name}", (), scores, work)


def judged(folder: RunFolder, data: ImageData, config: ChannelConfig, measured: LatencyEstimate) -> Scores:
    """What a trained network's files score on the test images, each by its own runtime."""
    test, objective = data.test, data.task.objective()
    outputs = {
        precision: run_model(folder.model(precision, FormatName.TFLITE).read_bytes(), test.images)
        for precision in (Precision.INT8, Precision.FLOAT32)
    }
    loss = objective.loss(torch.from_numpy(outputs[Precision.INT8]), torch.from_numpy(test.targets))
    return Scores(
        config=config,
        measured=measured,
        int8_percent=data.task.score(outputs[Precision.INT8], test.targets),
        float32_percent=data.task.score(outputs[Precision.FLOAT32], test.targets),
        int8_loss=float(loss),
    )


def _measure(experiment: Experiment) -> None:
    """The latency table, and the uniform networks whose measured latencies are the budgets."""
    space = experiment.space
    with open_bench(experiment.target, space, experiment.device, progress=TerminalProgress()) as bench:
        table = profile(bench, experiment.device, plan=PLAN)
        nearest = uniforms_at(table, experiment.protocol.budgets)
        bench.measure([*nearest, space.largest])
        uniforms = tuple(Uniform(config=config, measured=bench.estimate(config)) for config in nearest)
        Uniforms(largest=bench.estimate(space.largest), uniforms=uniforms).write(experiment.budgets)


def uniforms_at(table: LatencyTable, shares: Sequence[float]) -> list[ChannelConfig]:
    """The uniform networks that are predicted nearest to these shares of the largest one's latency.

    Raises:
        InputError: One of them is the narrowest network: no method could choose another one within that share.
    """
    candidates = list(table.space.uniforms())
    predicted_ms = Predictor(table).predict(candidates).mean_ms
    nearest = [candidates[int(np.abs(predicted_ms - share * predicted_ms[-1]).argmin())] for share in shares]
    if table.space.smallest in nearest:
        raise InputError(
            f"Within {shares[nearest.index(table.space.smallest)]:.0%} only the narrowest network fits.",
            remedy="Choose a lower --min-width: methods need something to choose from.",
        )
    return nearest
