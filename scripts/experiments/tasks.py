"""The experiment's pieces of work: each is a process of its own on one thread, and ends with a file."""

from __future__ import annotations

import json
import time
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, NamedTuple

from choosing import Choice, Evaluations, budget_ms, exact, greedy, settled
from protocol import RECIPE, Experiment, Final

from edgewidth.cli.progress import TerminalProgress
from edgewidth.devices.device import open_device
from edgewidth.records.budget import Budget
from edgewidth.records.files import write_atomic
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import Precision
from edgewidth.records.table import LatencyTable
from edgewidth.stages.bench import open_bench
from edgewidth.stages.export import export
from edgewidth.stages.finetune import finetune
from edgewidth.stages.profile import ProfilePlan, profile
from edgewidth.stages.train import Aim, train
from edgewidth.stages.validate import validate
from edgewidth.training.train import train_supernet
from edgewidth.training.unary import Evaluator
from edgewidth.training.weights import load_supernet

if TYPE_CHECKING:
    from collections.abc import Callable

    from choosing import Propose

    from edgewidth.records.folder import RunFolder

PLAN = ProfilePlan(first=40, target_error_percent=1.0)


class Task(NamedTuple):
    """A piece of work: what must be there before, what is there afterwards, and what it does."""

    name: str
    needs: tuple[Path, ...]
    makes: Path
    work: Callable[[], None]


def all_tasks(experiment: Experiment) -> list[Task]:
    """Every task in the order of its importance: what comparisons need first comes first."""
    device, budgets = experiment.device, experiment.folder / "budgets.json"
    supernets = dict.fromkeys(seed for seed, _ in experiment.supernets)
    choices = {final.choice: final for final in experiment.finals}
    plain = [final for final in experiment.finals if final.method != "narrowed"]
    narrowed = [final for final in experiment.finals if final.method == "narrowed"]
    tasks = [
        Task("table", (), budgets, lambda: _measure(experiment, budgets)),
        *(_supernet_task(experiment, seed) for seed in supernets),
        *(_losses_task(experiment, seed) for seed in supernets),
        *(_choice_task(experiment, final) for final in choices.values() if final.method != "narrowed"),
        *(_final_task(experiment, final) for final in plain),
        *(_narrowing_task(experiment, seed, budget) for seed, budget in experiment.supernets),
        *(_choice_task(experiment, final) for final in choices.values() if final.method == "narrowed"),
        *(_final_task(experiment, final) for final in narrowed),
    ]
    finals = tuple(experiment.final(final).artifacts for final in experiment.finals)
    latencies = experiment.folder / "latencies.json"
    return [*tasks, Task("latencies", (device.table, *finals), latencies, lambda: _latencies(experiment, latencies))]


def _supernet_task(experiment: Experiment, seed: int) -> Task:
    folder = experiment.supernet(seed)

    def work() -> None:
        data = experiment.data
        train_supernet(experiment.space, data, RECIPE, folder=folder, seed=seed, progress=TerminalProgress())

    return Task(f"supernet-{seed}", (), folder.supernet, work)


def _losses_task(experiment: Experiment, seed: int) -> Task:
    folder = experiment.supernet(seed)

    def work() -> None:
        began = time.process_time()
        train(experiment.space, experiment.data, RECIPE, folder, seed=seed, progress=TerminalProgress())
        seconds = {"seconds": time.process_time() - began}
        write_atomic(folder.path / "evaluation.json", json.dumps(seconds).encode())

    return Task(f"losses-{seed}", (folder.supernet,), folder.losses, work)


def _narrowing_task(experiment: Experiment, seed: int, budget: float) -> Task:
    folder = experiment.narrowed(seed, budget)

    def work() -> None:
        table = LatencyTable.read(experiment.device.table)
        with open_bench(experiment.target, experiment.space, experiment.device) as bench:
            aim = Aim(table, Budget(latency_ms=budget_ms(experiment, bench, budget)))
        train(experiment.space, experiment.data, RECIPE, folder, seed=seed, aim=aim, progress=TerminalProgress())

    return Task(f"narrowing-{seed}-{budget:g}", (experiment.folder / "budgets.json",), folder.losses, work)


def _choice_task(experiment: Experiment, final: Final) -> Task:
    path = experiment.choice(final)
    folder = _supernet_of(experiment, final)

    def work() -> None:
        with open_bench(experiment.target, experiment.space, experiment.device) as bench:
            within_ms = budget_ms(experiment, bench, final.budget)
            settled(bench, final, within_ms, _method(experiment, final)).write(path)

    needs = experiment.folder / "budgets.json"
    return Task(f"choice-{final.choice}", (needs, *([] if final.method == "uniform" else [folder.losses])), path, work)


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
        return greedy(table, Evaluations(folder.path / "slimming.jsonl", experiment.space, evaluator.loss))
    return exact(table, UnaryLosses.read(folder.losses))


def _final_task(experiment: Experiment, final: Final) -> Task:
    folder = experiment.final(final)

    def work() -> None:
        choice, data, progress = Choice.read(experiment.choice(final)), experiment.data, TerminalProgress()
        space, seed = experiment.space, final.seed
        network = finetune(space, choice.config, data, RECIPE, folder, supernet=None, seed=seed, progress=progress)
        export(network, data, folder, seed=seed, progress=progress)

    return Task(f"final-{final}", (experiment.choice(final),), folder.artifacts, work)


def _measure(experiment: Experiment, budgets: Path) -> None:
    """The latency table, and the uniform networks that are the budgets."""
    space = experiment.space
    with open_bench(experiment.target, space, experiment.device, progress=TerminalProgress()) as bench:
        profile(bench, experiment.device, plan=PLAN)
        uniforms = {budget: space.uniform(budget) for budget in experiment.protocol.budgets}
        bench.measure(uniforms.values())
        found = {f"{budget:g}": bench.estimate(config).model_dump(mode="json") for budget, config in uniforms.items()}
    write_atomic(budgets, json.dumps(found, indent=1).encode())


def _latencies(experiment: Experiment, path: Path) -> None:
    """Every final network's own int8 file, measured on the device."""
    found = {}
    with open_device(experiment.target.profile) as device:
        for final in experiment.finals:
            artifact = experiment.final(final).model(Precision.INT8, ".tflite")
            report = validate(artifact, experiment.target, measurements=experiment.device.measurements, device=device)
            found[str(final)] = report.estimate.model_dump(mode="json")
    write_atomic(path, json.dumps(found, indent=1).encode())
