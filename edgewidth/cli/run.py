"""``edgewidth run``: the main job."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import click

from edgewidth.cli import options as shared
from edgewidth.cli.output import print_compared, print_comparison, print_report, print_result
from edgewidth.cli.progress import TerminalProgress
from edgewidth.cli.record import names_of, option, refuse_without, verb
from edgewidth.cli.start import StartOptions
from edgewidth.cli.terminal import echo
from edgewidth.cli.values import FOLDER
from edgewidth.errors import AnswerError
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.measurement import Statistic

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.documents import Document
    from edgewidth.progress import Progress
    from edgewidth.records.compared import ComparedRuns
    from edgewidth.records.report import Report
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.run import Job


@dataclass(frozen=True)
class Options:
    """What ``edgewidth run`` takes."""

    device: shared.DeviceOption
    measuring: shared.TargetOptions
    examples: shared.DataOptions
    budgets: Annotated[
        tuple[BudgetRequest, ...],
        option(
            "--budget",
            parse=BudgetRequest.parse,
            multiple=True,
            default=["60%"],
            help="8ms, 0.4s, or a share of the uniform 1.0 network's latency; several share one table and supernet.",
        ),
    ]
    limits: shared.LimitOptions
    statistic: shared.StatisticOption
    precision: shared.PrecisionOption
    network: shared.NetworkOptions
    training: shared.RecipeOptions
    start: StartOptions
    narrow: Annotated[
        bool,
        option(
            "--narrow", is_flag=True, help="Train the supernet for this device and budget alone, ever more narrowly."
        ),
    ]
    narrowing: shared.NarrowingOptions
    rivals: shared.RivalsOption
    max_int8_drop_points: shared.MaxInt8DropOption
    plan: shared.PlanOptions
    reuse: shared.ReuseOptions
    compare: shared.CompareOption
    seed: shared.SeedOption
    out: Annotated[
        Path,
        option(
            "--out",
            type=FOLDER,
            default=Path("edgewidth-run"),
            help="Run folder; the same command goes on where it stopped. Of several budgets, each has its own in it.",
        ),
    ]
    force: shared.ForceOption
    as_json: shared.JsonOption


@verb("run", Options)
def command(options: Options) -> int:
    """Everything: measure the device, train, search, refine, finetune, export, validate, report.

    Without any option it does all of it on the handwritten digits that come with scikit-learn, on this machine.
    """
    from edgewidth.records.comparison import Comparison  # noqa: PLC0415  help stays instant
    from edgewidth.stages.claim import locked  # noqa: PLC0415

    progress = TerminalProgress()
    if not options.narrow:
        refuse_without("--narrow", *names_of(shared.NarrowingOptions))
    with locked(options.out) as folder:
        job = _job(options, folder, progress)
        done = (_run_one if len(options.budgets) == 1 else _run_several)(job, options, folder, progress)
        if options.compare:
            print_comparison(Comparison.read(done.comparison))
    print_result(done.document, as_json=options.as_json, text=done.text)
    return 0 if done.verdicts == {"within budget"} else AnswerError.exit_code


class _Done(NamedTuple):
    """What a run, or runs at several budgets, came to, and how it is told."""

    document: Document
    text: Callable[[], None]
    verdicts: set[str]
    comparison: Path


def _job(options: Options, folder: RunFolder, progress: Progress) -> Job:
    """What is asked, at the first budget."""
    from edgewidth.stages.request import make_request  # noqa: PLC0415  help stays instant
    from edgewidth.stages.run import Job  # noqa: PLC0415

    target = options.measuring.target(options.device, precision=options.precision, statistic=options.statistic)
    data = options.network.images(options.examples, seed=options.seed, progress=progress)
    recipe = options.training.load()
    request = make_request(
        target,
        options.network.space(data, progress),
        data,
        recipe,
        budget=options.limits.beside(options.budgets[0]),
        narrowing=options.narrowing.narrowing() if options.narrow else None,
        rivals=options.rivals,
        max_int8_drop_points=options.max_int8_drop_points,
        seed=options.seed,
        command=shlex.join(["edgewidth", *(click.get_current_context().find_object(list) or [])]),
    )
    return Job(
        request,
        target,
        data,
        recipe,
        options.plan.plan(),
        options.plan.refine_plan(),
        table=options.reuse.table,
        prior=options.reuse.prior,
        weights=options.start.file(options.network, data, folder, force=options.force, progress=progress),
        compare=options.compare,
    )


def _run_one(job: Job, options: Options, folder: RunFolder, progress: Progress) -> _Done:
    from edgewidth.stages.run import run  # noqa: PLC0415  help stays instant

    _say_plan(job, options, folder, progress)
    report = run(job, folder, force=options.force, progress=progress)
    return _Done(report, lambda: _print(report, folder, options), {report.verdict}, folder.comparison)


def _run_several(job: Job, options: Options, folder: RunFolder, progress: Progress) -> _Done:
    from edgewidth.stages.several import run_folders, run_several  # noqa: PLC0415  help stays instant

    budgets = [options.limits.beside(budget) for budget in options.budgets]
    (budget, first), *_ = run_folders(budgets, folder).items()
    job = replace(job, request=job.request.model_copy(update={"budget": budget}))
    _say_plan(job, options, first, progress)
    runs = run_several(job, budgets, folder, force=options.force, progress=progress)
    verdicts = {str(one.verdict) for one in runs.runs}
    return _Done(runs, lambda: _print_several(runs, folder), verdicts, first.comparison)


def _say_plan(job: Job, options: Options, folder: RunFolder, progress: Progress) -> None:
    """What is going to be done, and about how long it takes; the bars tell it better once a tenth is done.

    Nothing is said of what the folder refuses.
    """
    from edgewidth.stages.claim import check_claim  # noqa: PLC0415  help stays instant
    from edgewidth.stages.forecast import forecast  # noqa: PLC0415

    if not options.force:
        check_claim(folder, job.request)
    progress.say(
        f"In {folder.path}, where what is done already is kept (times are of this machine, busy as it is now):"
    )
    for number, step in enumerate(forecast(job, folder, force=options.force), start=1):
        progress.say(f"  {number}. {step}")


def _print_several(runs: ComparedRuns, folder: RunFolder) -> None:
    """The runs of several budgets side by side, and where the page is that compares them."""
    from edgewidth.report.compared import side_by_side, summary  # noqa: PLC0415  help stays instant
    from edgewidth.stages.several import PAGE  # noqa: PLC0415

    print_compared(side_by_side(summary(runs)))
    echo(f"\nCompared in {folder.path / PAGE}; each run's own report is in its folder there.")


def _print(report: Report, folder: RunFolder, options: Options) -> None:
    """The summary of a run, and the command that measures its file once more."""
    print_report(report, folder)
    if report.measured is None or report.budget is None:
        return
    measuring = options.measuring
    given = {
        "--device": options.device,
        "--profiles": measuring.profiles,
        "--runtime": measuring.runtime,
        "--accelerator": measuring.accelerator,
        "--threads": measuring.threads,
        "--statistic": None if options.statistic is Statistic.MEDIAN else options.statistic,
        "--budget": f"{report.budget.latency_ms:.6g}ms",
    }
    words = ["edgewidth", "validate", str(folder.path / report.measured.file)]
    words += [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    words += [word for key, value in measuring.overrides.items() for word in ("--set", f"{key}={value}")]
    words += ["--allow-fallback"] if measuring.allow_fallback else []
    echo(f"\nNext, in a pipeline for instance, its file measured once more:\n{shlex.join(words)}")
