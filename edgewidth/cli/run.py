"""``edgewidth run``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgewidth.cli.options import (
    NARROWING,
    budget_from,
    budget_option,
    compare_option,
    data_option,
    device_options,
    force_option,
    images_from,
    json_option,
    limit_options,
    max_int8_drop_option,
    narrowing_from,
    narrowing_options,
    network_options,
    plan_options,
    precision_option,
    profile_plan,
    recipe_from,
    recipe_options,
    refuse_without,
    reuse_from,
    reuse_options,
    seed_option,
    space_from,
    statistic_option,
    target_from,
)
from edgewidth.cli.output import print_comparison, print_document, print_report
from edgewidth.cli.progress import TerminalProgress

OVER_BUDGET = 1


@click.command("run")
@device_options
@data_option
@budget_option
@limit_options
@statistic_option
@precision_option
@network_options
@recipe_options
@click.option("--narrow", is_flag=True, help="Train the supernet for this device and budget alone, ever more narrowly.")
@narrowing_options
@max_int8_drop_option
@plan_options
@reuse_options
@compare_option
@seed_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("edgewidth-run"),
    show_default=True,
    help="Run folder; the same command goes on where it stopped.",
)
@force_option
@json_option
@click.pass_obj
def command(arguments: list[str], /, out: Path, force: bool, as_json: bool, **options: Any) -> int:
    """Everything: measure the device, train, search, refine, finetune, export, validate, report.

    Without any option it does all of it on the handwritten digits that come with scikit-learn, on this machine.
    """
    from edgewidth.records.comparison import Comparison  # noqa: PLC0415  help stays instant
    from edgewidth.stages.claim import locked  # noqa: PLC0415
    from edgewidth.stages.request import make_request  # noqa: PLC0415
    from edgewidth.stages.run import Job, run  # noqa: PLC0415

    progress = TerminalProgress()
    if not options["narrow"]:
        refuse_without("--narrow", *NARROWING)
    table, prior = reuse_from(options)
    target = target_from(options)
    with locked(out) as folder:
        data = images_from(options, progress)
        recipe = recipe_from(options)
        request = make_request(
            target,
            space_from(options, data),
            data,
            recipe,
            budget=budget_from(options),
            narrowing=narrowing_from(options) if options["narrow"] else None,
            max_int8_drop_points=options["max_int8_drop_points"],
            seed=options["seed"],
            arguments=arguments,
        )
        job = Job(
            request,
            target,
            data,
            recipe,
            profile_plan(options),
            table=table,
            prior=prior,
            compare=options["compare"],
        )
        report = run(job, folder, force=force, progress=progress)
        if options["compare"]:
            print_comparison(Comparison.read(folder.comparison))
    if as_json:
        print_document(report)
    else:
        print_report(report, folder)
    return 0 if report.verdict == "within budget" else OVER_BUDGET
