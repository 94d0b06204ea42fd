"""The main job: every stage in turn, each from the files of those before it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewidth.errors import MismatchError
from edgewidth.progress import SILENT, Progress
from edgewidth.records.artifact import Artifacts
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.stages.bench import Bench, open_bench
from edgewidth.stages.claim import claimed, remove
from edgewidth.stages.compare import compare
from edgewidth.stages.export import export
from edgewidth.stages.finetune import finetune
from edgewidth.stages.judge import judge
from edgewidth.stages.profile import ProfilePlan, profile
from edgewidth.stages.refine import RefinePlan, refine
from edgewidth.stages.report import report
from edgewidth.stages.reuse import read_given, reuse, take_prior
from edgewidth.stages.search import Question, infeasible
from edgewidth.stages.train import Aim, check_weights, train
from edgewidth.stages.validate import validate

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.data.split import ImageData
    from edgewidth.records.budget import Budget
    from edgewidth.records.report import Report
    from edgewidth.records.run import Narrowing, RunRequest
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.target import Target
    from edgewidth.training.networks.plain import PlainNetwork
    from edgewidth.training.recipes import Recipe


@dataclass(frozen=True)
class Job:
    """What a run needs beside its request: the things themselves."""

    request: RunRequest
    target: Target
    data: ImageData
    recipe: Recipe
    profile_plan: ProfilePlan | None = None
    refine_plan: RefinePlan | None = None
    table: Path | None = None
    """Another run's latency table for this device, used if it still holds."""
    prior: Path | None = None
    """Another device's or precision's latency table, the prior of this one."""
    weights: Path | None = None
    """What the supernet begins with, such as the weights that a network brings; None: random weights, or what
    ``edgewidth train`` in the same folder began with."""
    compare: bool = False
    """First measure every runtime, precision and thread count there."""


def run(job: Job, folder: RunFolder, *, force: bool = False, progress: Progress = SILENT) -> Report:
    """Measure, train, search, refine, judge, finetune, export, validate, report; what is done is not done again.

    The device is measured before anything is trained, so that an infeasible budget is told at once.

    Raises:
        MismatchError: The folder holds another run, or what other verbs made of something else.
        InfeasibleBudgetError: No configuration is fast enough.
        EdgewidthError: As the stages raise.
    """
    given = job.table or job.prior
    if force and given:
        read_given(given, job.request.space)  # before anything is removed for one that does not fit
    if force and job.weights:
        check_weights(job.request.space, job.weights)
    needed = [path for path in (given, job.weights) if path]
    with claimed(folder, job.request, force=force, needed=needed):
        return _run(job, folder, progress)


def _run(job: Job, folder: RunFolder, progress: Progress) -> Report:
    space, seed = job.request.space, job.request.seed
    known = _known_losses(job, folder)
    if job.compare and not folder.comparison.exists():
        compare(job.target, space, folder, progress=progress)
    if job.prior and not folder.prior.exists():
        take_prior(job.prior, space, folder)
    with open_bench(job.target, space, folder, progress=progress) as bench:
        table = _table(job, bench, folder)
        budget = resolve_budget(job.request, bench)
    if known:
        _check_narrowed(known, table, budget, folder)
    found = _found_search(job, budget, folder)
    aim = Aim(table, budget, job.request.narrowing)
    losses = known or train(
        space, job.data, job.recipe, folder, seed=seed, aim=aim, weights=job.weights, progress=progress
    )
    result = _search(job, found, table, losses, budget, folder, progress)
    if not folder.judged.exists():
        judge(job.data, result, folder, progress=progress)
    _network(job, result, folder, progress)
    if not folder.validation.exists():
        artifact = folder.model(job.target.precision, job.target.engine.file_format)
        validation = validate(artifact, job.target, budget=budget, measurements=folder.measurements, progress=progress)
        validation.write(folder.validation)
    return report(folder)


def _known_losses(job: Job, folder: RunFolder) -> UnaryLosses | None:
    """What this run, or ``edgewidth train`` in the same folder, has learned."""
    if not folder.losses.exists():
        return None
    losses = UnaryLosses.read(folder.losses)
    if of_space := job.request.space.differences(losses.space):
        raise _not_of_this_run(folder.losses, [of_space])
    if other := [*_trained_otherwise(job, losses), *_narrowed_otherwise(job.request.narrowing, losses)]:
        raise _not_of_this_run(folder.losses, other)
    return losses


def _trained_otherwise(job: Job, losses: UnaryLosses) -> list[str]:
    """In what the supernet's training differs from this run's, as far as the losses say."""
    from edgewidth.training.identity import identify  # noqa: PLC0415  a light module in a heavy room
    from edgewidth.training.networks.weights import fingerprint  # noqa: PLC0415  torch loads when it is needed

    found = losses.training
    if found is None:
        return [] if losses.data_fingerprint == job.data.fingerprint else ["images: not the same"]
    # Weights of one's own that were not named again are welcome. The table that widths were drawn by may have learned.
    start = fingerprint(job.weights) if job.weights else found.start
    asked = identify(job.data, job.recipe, seed=job.request.seed, start=start, sampler=found.sampler)
    return asked.differences(found)


def _narrowed_otherwise(asked: Narrowing | None, losses: UnaryLosses) -> list[str]:
    found = losses.narrowed.schedule if losses.narrowed else None
    if losses.narrowing and not found:  # from before losses said for what
        return [] if asked else ["narrowing: none here, some there"]
    return [] if asked == found else [f"narrowing: {asked or 'none'} here, {found or 'none'} there"]


def _check_narrowed(losses: UnaryLosses, table: LatencyTable, budget: Budget, folder: RunFolder) -> None:
    """Refuse losses of a supernet that serves another device or budget alone."""
    if (found := losses.narrowed) is None:
        return
    other = table.setting.differences(found.setting)
    if not budget.is_about(found.budget):
        other.append(f"budget: {budget} here, {found.budget} there")
    if other:
        raise _not_of_this_run(folder.losses, other)


def _not_of_this_run(path: Path, differences: list[str]) -> MismatchError:
    return MismatchError(
        f"{path} is not of this run; {'; '.join(differences)}.",
        remedy="Give the same options as to what made it, choose another --out, or move it elsewhere to make it again.",
    )


def resolve_budget(request: RunRequest, bench: Bench) -> Budget:
    """The budget in milliseconds, by the uniform 1.0 network's own measurement.

    Raises:
        InfeasibleBudgetError: Even the smallest configuration measured over it.
    """
    space = request.space
    budget = request.budget.resolve(bench.estimate(space.uniform(1.0)).value_ms, request.statistic)
    smallest = bench.estimate(space.smallest)
    if smallest.low_ms > budget.latency_ms:
        raise infeasible(budget, smallest.value_ms, "measured")
    bench.progress.say(f"The budget is {budget}.")
    return budget


def _table(job: Job, bench: Bench, folder: RunFolder) -> LatencyTable:
    if not folder.table.exists():
        if job.table:
            return reuse(bench, folder, LatencyTable.read(job.table), job.table)
        return profile(bench, folder, plan=job.profile_plan, seed=job.request.seed, budget=job.request.budget)
    table = LatencyTable.read(folder.table)
    bench.check_table(table)
    return table


def _found_search(job: Job, budget: Budget, folder: RunFolder) -> SearchResult | None:
    """What this run, or ``edgewidth search`` in the same folder, has chosen; refused before hours of training."""
    if not folder.search.exists():
        return None
    result = SearchResult.read(folder.search)
    other = [of_space] if (of_space := job.request.space.differences(result.space)) else []
    if not budget.is_about(result.budget):
        other.append(f"budget: {budget} here, {result.budget} there")
    if other:
        raise _not_of_this_run(folder.search, other)
    return result


def _search(
    job: Job,
    found: SearchResult | None,
    table: LatencyTable,
    losses: UnaryLosses,
    budget: Budget,
    folder: RunFolder,
    progress: Progress,
) -> SearchResult:
    if found and (found.measured or folder.weights.exists() or folder.artifacts.exists()):
        # What a network was trained of by another verb is not chosen again: validation measures that network.
        [chosen] = Question(table, losses).choices([found.chosen.config])
        if not math.isclose(chosen.predicted_loss, found.chosen.predicted_loss, rel_tol=1e-6, abs_tol=1e-9):
            raise _not_of_this_run(folder.search, [f"losses: {folder.losses.name} has changed since"])
        return found
    if found:
        progress.say(f"{folder.search} is a prediction: candidates are measured now, and the choice is made again.")
    remove(folder.judged)  # of another choice
    with open_bench(job.target, job.request.space, folder, progress=progress) as bench:
        return refine(bench, table, losses, budget, folder, plan=job.refine_plan)


def _network(job: Job, result: SearchResult, folder: RunFolder, progress: Progress) -> None:
    if folder.artifacts.exists():
        _check_network(folder.artifacts, Artifacts.read(folder.artifacts), result)
        return
    from edgewidth.training.networks.weights import load_plain  # noqa: PLC0415  torch loads when it is needed

    space, seed = job.request.space, job.request.seed
    if folder.weights.exists():
        network = load_plain(folder.weights)
        _check_network(folder.weights, network, result)
    else:
        network = finetune(
            space,
            result.chosen.config,
            job.data,
            job.recipe,
            folder,
            supernet=folder.supernet,
            seed=seed,
            progress=progress,
        )
    remove(folder.validation)  # of another file
    export(
        network,
        job.data,
        job.recipe,
        folder,
        max_int8_drop_points=job.request.max_int8_drop_points,
        seed=seed,
        progress=progress,
    )


def _check_network(path: Path, found: PlainNetwork | Artifacts, result: SearchResult) -> None:
    """Refuse what was trained or exported of another network than the chosen one."""
    other = [of_space] if (of_space := result.space.differences(found.space)) else []
    if found.config != result.chosen.config:
        other.append(f"configuration: {result.chosen.config} here, {found.config} there")
    if other:
        raise _not_of_this_run(path, other)
