"""``edgewidth profile``: measure devices and fit their latency tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgewidth.cli.options import (
    compare_option,
    data_option,
    force_option,
    images_from,
    json_option,
    network_options,
    out_option,
    plan_options,
    precision_option,
    profile_plan,
    reuse_from,
    reuse_options,
    seed_option,
    space_from,
    statistic_option,
    target_from,
    target_options,
)
from edgewidth.cli.output import print_comparison, print_json, print_quality, say_warnings
from edgewidth.cli.progress import TerminalProgress

if TYPE_CHECKING:
    from pathlib import Path


@click.command("profile")
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=["local"],
    show_default=True,
    help="A device profile's name, or a .toml file; several are measured side by side.",
)
@target_options
@data_option
@statistic_option
@precision_option
@network_options
@plan_options
@reuse_options
@compare_option
@seed_option
@out_option
@force_option
@json_option
def command(devices: tuple[str, ...], out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Measure a device and fit its latency table.

    The images decide the network's input and classes. With several devices each has a folder of its own in --out.
    """
    from edgewidth.stages.fleet import profile_devices  # noqa: PLC0415  help stays instant

    progress = TerminalProgress()
    table, prior = reuse_from(options)
    targets = [target_from(options | {"device": device}) for device in dict.fromkeys(devices)]
    space = space_from(options, images_from(options, progress))
    outcomes = profile_devices(
        targets,
        space,
        out,
        plan=profile_plan(options),
        seed=options["seed"],
        force=force,
        table=table,
        prior=prior,
        compare_ways=options["compare"],
        progress=progress,
    )
    if as_json:
        print_json([outcome.model_dump(mode="json") for outcome in outcomes])
        return
    for outcome in outcomes:
        if outcome.comparison:
            print_comparison(outcome.comparison)
        print_quality(outcome)
        say_warnings(outcome.warnings)
