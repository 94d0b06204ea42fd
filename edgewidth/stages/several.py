"""Several budgets at once: one latency table and one supernet, a run for each budget, and a page that compares them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgewidth.errors import InputError
from edgewidth.files import write_atomic
from edgewidth.progress import SILENT, Progress
from edgewidth.report.compared import compared, render_comparison
from edgewidth.stages.claim import locked
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.ledger import everything, remove
from edgewidth.stages.run import Job, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.records.budget import BudgetRequest
    from edgewidth.records.compared import ComparedRuns
    from edgewidth.records.report import Report

PAGE = "compare.html"
"""The name of the page that compares the runs."""
_UNITS = {"ms": "ms", "%": "percent"}


def run_several(
    job: Job, budgets: Sequence[BudgetRequest], folder: RunFolder, *, force: bool = False, progress: Progress = SILENT
) -> ComparedRuns:
    """Run a job at every budget, each in a folder of its own in ``folder``; writes ``compare.html`` there.

    What one run measured and trained for any budget the others take from its folder: the measurements, the latency
    table, and the supernet with what was evaluated on it, unless it is trained for one budget. What is done is not done
    again, also where further budgets are asked for later.

    Raises:
        InputError: There is no budget, or one is given twice.
        EdgewidthError: As ``run`` raises.
    """
    folders = run_folders(budgets, folder)
    first, *_ = folders.values()
    source = first if force else max(folders.values(), key=lambda one: (one.supernet.exists(), one.table.exists()))
    needed = [path for path in (job.table, job.prior, job.weights) if path]
    reports: list[tuple[str, Report]] = []
    for number, (budget, own) in enumerate(folders.items(), start=1):
        progress.say(f"Budget {number} of {len(folders)}, {budget}, in {own.path}:")
        with locked(own.path):
            if own is not source:
                remove(*(everything(own) if force else ()), needed=needed)
                _share(source, own, with_supernet=job.request.narrowing is None)
            one = replace(job, request=job.request.model_copy(update={"budget": budget}))
            reports.append((own.path.name, run(one, own, force=force and own is first, progress=progress)))
    runs = compared(reports)
    write_atomic(folder.path / PAGE, render_comparison(runs).encode())
    return runs


def run_folders(budgets: Sequence[BudgetRequest], folder: RunFolder) -> dict[BudgetRequest, RunFolder]:
    """The folder of each budget's run, such as ``30percent`` or ``8ms``, in the order in which they are done.

    Where all have one unit, the tightest comes first: that nothing can meet it is then told before anything is trained.

    Raises:
        InputError: There is no budget, or one is given twice.
    """
    if len({budget.unit for budget in budgets}) == 1:
        budgets = sorted(budgets, key=lambda budget: budget.value)
    found = {budget: RunFolder(folder.path / f"{budget.value:.15g}{_UNITS[budget.unit]}") for budget in budgets}
    if len(found) < max(1, len(budgets)):
        raise InputError("A `budget` is missing or given twice.", remedy="Give every budget once.")
    return found


def _share(source: RunFolder, own: RunFolder, *, with_supernet: bool) -> None:
    """Copy what holds for any budget, unless it is there.

    Losses are not among it: every run evaluates further configurations, those near its own budget.
    """
    measured = (source.measurements, source.comparison, source.prior, source.table)
    trained = (source.trained, source.trained_log, source.training_log, source.evaluations, source.supernet)
    for path in (*measured, *(trained if with_supernet else ())):
        copied = own.path / path.relative_to(source.path)
        if path.exists() and not copied.exists():
            write_atomic(copied, path.read_bytes())
