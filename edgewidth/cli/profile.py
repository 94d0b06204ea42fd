"""``edgewidth profile``: measure devices and fit their latency tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgewidth.cli import options as shared
from edgewidth.cli.output import print_comparison, print_json, print_quality, say_warnings
from edgewidth.cli.progress import TerminalProgress
from edgewidth.cli.record import option, verb


@dataclass(frozen=True)
class Options:
    """What ``edgewidth profile`` takes."""

    devices: Annotated[
        tuple[str, ...],
        option(
            "--device",
            multiple=True,
            default=["local"],
            help="A device profile's name, or a .toml file; several are measured side by side.",
        ),
    ]
    measuring: shared.TargetOptions
    examples: shared.DataOptions
    statistic: shared.StatisticOption
    precision: shared.PrecisionOption
    network: shared.NetworkOptions
    plan: shared.PlanOptions
    reuse: shared.ReuseOptions
    compare: shared.CompareOption
    seed: shared.SeedOption
    out: shared.OutOption
    force: shared.ForceOption
    as_json: shared.JsonOption


@verb("profile", Options)
def command(options: Options) -> int:
    """Measure a device and fit its latency table.

    The images decide the network's input and classes. With several devices each has a folder of its own in --out.
    """
    from edgewidth.stages.fleet import profile_devices  # noqa: PLC0415  help stays instant

    progress = TerminalProgress()
    targets = [
        options.measuring.target(device, precision=options.precision, statistic=options.statistic)
        for device in dict.fromkeys(options.devices)
    ]
    data = options.network.images(options.examples, seed=options.seed, progress=progress)
    outcomes = profile_devices(
        targets,
        options.network.space(data, progress),
        options.out,
        plan=options.plan.plan(),
        seed=options.seed,
        force=options.force,
        table=options.reuse.table,
        prior=options.reuse.prior,
        compare_ways=options.compare,
        progress=progress,
    )
    if options.as_json:
        print_json([outcome.model_dump(mode="json") for outcome in outcomes])
    else:
        for outcome in outcomes:
            if outcome.comparison:
                print_comparison(outcome.comparison)
            print_quality(outcome)
            say_warnings(outcome.warnings)
    return max(outcome.exit_code for outcome in outcomes)
