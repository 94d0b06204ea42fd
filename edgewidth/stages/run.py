"""The main job: every stage in turn, each from the files of those before it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.devices.ethos_u.vela import compile_with_vela
from edgewidth.files import write_atomic
from edgewidth.progress import SILENT, Progress, times_text
from edgewidth.records.artifact import Artifacts
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.provenance import NONE
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.training import FINAL_START, NARROWING, START
from edgewidth.records.weights_file import begun_with
from edgewidth.stages.bench import Bench, Reach, open_bench, reaching
from edgewidth.stages.claim import claimed
from edgewidth.stages.compare import compare
from edgewidth.stages.export import export
from edgewidth.stages.finetune import finetune
from edgewidth.stages.judge import judge
from edgewidth.stages.ledger import (
    COMPARE,
    EXPORT,
    FINETUNE,
    JUDGE,
    PROFILE,
    SEARCH,
    STAGES,
    TRAIN,
    VALIDATE,
    Ledger,
    contents,
    files_of,
    learned,
    models,
    remove,
)
from edgewidth.stages.profile import ProfilePlan, check_size, profile
from edgewidth.stages.refine import RefinePlan, refine
from edgewidth.stages.report import report
from edgewidth.stages.reuse import read_given, reuse, take_prior
from edgewidth.stages.rivals import SHARE, learn_from_rivals
from edgewidth.stages.search import infeasible
from edgewidth.stages.times import timed
from edgewidth.stages.train import Aim, check_weights, train
from edgewidth.stages.validate import validate

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.records.budget import Budget
    from edgewidth.records.provenance import Facts
    from edgewidth.records.report import Report
    from edgewidth.records.run import RunRequest
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.target import Target
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
    if not job.table:
        check_size(job.request.space)
    if force and given:
        read_given(given, job.request.space)  # before anything is removed for one that does not fit
    if force and job.weights:
        check_weights(job.request.space, job.weights)
    needed = [path for path in (given, job.weights) if path]
    with reaching(job.target.profile, progress=progress) as reach:
        if force and any(path.exists() for path in files_of(folder, STAGES)):
            _check_feasible(job, folder, reach, progress)  # before anything is removed
        with claimed(folder, job.request, force=force, needed=needed):
            done = _Run(job, folder, reach, progress).all()
    if done.seconds:
        progress.say(f"Where the time went: {times_text(done.seconds)}.")
    return done


class _Run:
    """A run in its folder: every stage is done here, or was done before."""

    def __init__(self, job: Job, folder: RunFolder, reach: Reach, progress: Progress) -> None:
        self._job, self._folder, self._reach, self._progress = job, folder, reach, progress
        self._ledger = Ledger(folder, _asked(job, folder))

    def all(self) -> Report:
        """Every stage in turn."""
        job, folder, ledger, progress = self._job, self._folder, self._ledger, self._progress
        ledger.check(TRAIN)  # before anything is measured
        if job.compare and not ledger.is_done(COMPARE):
            with timed(folder, COMPARE.name):
                compare(job.target, job.request.space, folder, reach=self._reach, progress=progress)
        if job.prior and not folder.prior.exists():
            take_prior(job.prior, job.request.space, folder)
        with timed(folder, PROFILE.name):
            table, budget = self._measured()
        ledger.learn(table.setting.facts | {"budget": budget})
        ledger.check(SEARCH)  # before hours of training
        with timed(folder, TRAIN.name):
            losses = self._losses(table, budget)
        with timed(folder, SHARE):
            losses = self._corrected(table, losses, budget)
        ledger.learn(learned(losses) | contents(supernet=folder.supernet))
        with timed(folder, SEARCH.name):
            result = self._chosen(table, losses, budget)
        ledger.learn(learned(result))
        if not ledger.is_done(JUDGE):
            with timed(folder, JUDGE.name):
                judge(job.data, result, folder, progress=progress)
        ledger.learn(learned(self._exported(result)))
        if not ledger.is_done(VALIDATE):
            with timed(folder, VALIDATE.name):
                self._validate(budget)
        return report(folder)

    def _measured(self) -> tuple[LatencyTable, Budget]:
        """The table and the budget; raises as ``_budget``."""
        request = self._job.request
        found = LatencyTable.read(self._folder.table) if self._ledger.is_done(PROFILE) else None
        with self._bench(found) as bench:
            table = found or self._profiled(bench)
            budget = _budget(bench, request)
        self._progress.say(f"The budget is {budget}.")
        return table, budget

    def _profiled(self, bench: Bench) -> LatencyTable:
        job = self._job
        if job.table:
            return reuse(bench, self._folder, LatencyTable.read(job.table), job.table)
        return profile(bench, self._folder, plan=job.profile_plan, seed=job.request.seed, budget=job.request.budget)

    def _losses(self, table: LatencyTable, budget: Budget) -> UnaryLosses:
        if self._ledger.is_done(TRAIN):
            return UnaryLosses.read(self._folder.losses)
        job, request = self._job, self._job.request
        aim = Aim(table, budget, request.narrowing)
        return train(
            request.space,
            job.data,
            job.recipe,
            self._folder,
            seed=request.seed,
            aim=aim,
            weights=job.weights,
            progress=self._progress,
        )

    def _corrected(self, table: LatencyTable, losses: UnaryLosses, budget: Budget) -> UnaryLosses:
        """The losses with what rivals say of them, where there is a supernet to train them from.

        A choice that was trained without any stays.
        """
        job, folder = self._job, self._folder
        share = job.request.rivals
        if not share or losses.rivals or folder.weights.exists() or not folder.supernet.exists():
            return losses
        self._ledger.learn(learned(losses) | contents(supernet=folder.supernet))
        self._ledger.check(SEARCH)  # before hours of training
        corrected = learn_from_rivals(
            table,
            losses,
            budget,
            job.data,
            job.recipe,
            folder,
            share=share,
            seed=job.request.seed,
            progress=self._progress,
        )
        if corrected.rivals and folder.search.exists():
            self._progress.say(f"{folder.search} was found before rivals were trained: it is made again.")
            remove(folder.search)
        return corrected

    def _chosen(self, table: LatencyTable, losses: UnaryLosses, budget: Budget) -> SearchResult:
        """The choice, measured; a prediction of ``edgewidth search`` is only kept where a network was made of it."""
        folder = self._folder
        if self._ledger.is_done(SEARCH):
            found = SearchResult.read(folder.search)
            if found.measured or folder.weights.exists() or folder.artifacts.exists():
                return found
            self._progress.say(
                f"{folder.search} is a prediction: candidates are measured now, and the choice is made again."
            )
        with self._bench(table) as bench:
            return refine(bench, table, losses, budget, folder, plan=self._job.refine_plan)

    def _exported(self, result: SearchResult) -> Artifacts:
        """The chosen network's files; it is trained first where that was not done."""
        job, request, folder = self._job, self._job.request, self._folder
        self._ledger.learn(contents(weights=folder.weights) | models(folder))
        if self._ledger.is_done(EXPORT):
            artifacts = Artifacts.read(folder.artifacts)
            gone = [one.file for one in artifacts.artifacts if not (folder.path / one.file).exists()]
            if gone:
                self._progress.say(f"Exported again, for what is gone: {', '.join(gone)}.")
            elif any(one.file == self._model.name for one in artifacts.artifacts):  # no verb exported others
                return artifacts
        if not self._ledger.is_done(FINETUNE):
            with timed(folder, FINETUNE.name):
                finetune(
                    request.space,
                    result.chosen.config,
                    job.data,
                    job.recipe,
                    folder,
                    supernet=folder.supernet,
                    seed=request.seed,
                    progress=self._progress,
                )
        with timed(folder, EXPORT.name):
            return export(
                folder.weights,
                job.data,
                job.recipe,
                folder,
                max_int8_drop_points=request.max_int8_drop_points,
                precision=request.precision,
                seed=request.seed,
                progress=self._progress,
            )

    @property
    def _model(self) -> Path:
        """The file that is for the device."""
        target = self._job.target
        return self._folder.model(target.precision, target.engine.file_format)

    def _validate(self, budget: Budget) -> None:
        target, folder = self._job.target, self._folder
        validation = validate(
            self._model,
            target,
            budget=budget,
            measurements=folder.measurements,
            device=self._reach(),
            progress=self._progress,
        )
        if target.profile.ethos_u:
            compiled = compile_with_vela(self._model.read_bytes(), target.profile.ethos_u).compiled
            write_atomic(folder.compiled, compiled)
            self._progress.say(f"{folder.compiled} is {self._model.name} compiled for {target.profile.ethos_u.title}.")
        validation.write(folder.validation)

    def _bench(self, table: LatencyTable | None) -> AbstractContextManager[Bench]:
        """The device with this run's store; ``table`` is the one that its measurements must fit, if there is one."""
        job, setting = self._job, table.setting if table else None
        return open_bench(
            job.target, job.request.space, self._folder, reach=self._reach, setting=setting, progress=self._progress
        )


def _check_feasible(job: Job, folder: RunFolder, reach: Reach, progress: Progress) -> None:
    """Whether the device answers and the budget can be met; what is measured for that stays. Raises as ``_budget``."""
    space = job.request.space
    with open_bench(job.target, space, folder, reach=reach, with_prior=False, progress=progress) as bench:
        _budget(bench, job.request)


def _budget(bench: Bench, request: RunRequest) -> Budget:
    """The budget in milliseconds, by the uniform 1.0 network's own measurement where it is a share of that.

    Raises:
        InfeasibleBudgetError: Even the smallest configuration measured over it.
    """
    budget = request.budget.resolve(bench.estimate(bench.space.uniform(1.0)).value_ms, request.statistic)
    smallest = bench.estimate(bench.space.smallest)
    if smallest.low_ms > budget.latency_ms:
        raise infeasible(budget, smallest.value_ms, bench.setting.clock.words.past)
    return budget


def _asked(job: Job, folder: RunFolder) -> Facts:
    """What the stages of a run are made of, as far as the request says.

    Weights of one's own to begin with, which ``edgewidth train`` was given in this folder, need not be named again;
    with them the recipe trains otherwise.
    """
    from edgewidth.training.provenance import final_training, supernet_training  # noqa: PLC0415  it is light

    request, recipe = job.request, job.recipe
    start = begun_with(folder.supernet if folder.supernet.exists() else None, job.weights)
    training = supernet_training(job.data, recipe, seed=request.seed, start=start).made_of
    final = recipe.phases(trained=bool(start)).finetune
    training |= final_training(job.data, final, seed=request.seed, start="").made_of
    # The table that widths were drawn by may have learned since, and what final training began with is told beside it.
    del training[NARROWING], training[FINAL_START]
    if not job.weights:
        del training[START]
    return training | {
        "search space": request.space,
        "device": request.device,
        "engine": job.target.engine,
        "precision": request.precision,
        "threads": request.threads,
        "statistic": request.statistic,
        "narrowing": request.narrowing or NONE,
        SHARE: request.rivals,
        "max_int8_drop_points": request.max_int8_drop_points,
    }
