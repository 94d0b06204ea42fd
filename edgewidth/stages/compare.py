"""Which precision, which engine on what, how many threads? Answered by measuring the same networks in every way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from edgewidth.devices.engines.table import offered_engines, support_of
from edgewidth.errors import DeviceError, EdgewidthError
from edgewidth.progress import SILENT, Progress
from edgewidth.records.comparison import Compared, Comparison, Way
from edgewidth.records.measurement import Precision
from edgewidth.stages.bench import Bench, Reach, open_bench, reaching

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.measurement import MeasurementWarning
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.target import Target

MULTIPLIERS = (1.0, 0.5)
"""The width multipliers of the networks that are measured: what is best for a large one need not be for a small one."""
THREADS = (1, 2, 4)


def compare(
    target: Target, space: SearchSpace, folder: RunFolder, *, reach: Reach | None = None, progress: Progress = SILENT
) -> Comparison:
    """Measure in every way that the device offers; writes ``comparison.json``.

    ``reach`` reaches the device; without it that is done for the comparison alone.

    Raises:
        DeviceError, TransientDeviceError: The device cannot be reached, or no way works there.
    """
    configs = tuple(dict.fromkeys(space.uniform(multiplier) for multiplier in MULTIPLIERS))
    found: list[Compared] = []
    warnings: dict[str, MeasurementWarning] = {}
    with nullcontext(reach) if reach else reaching(target.profile, progress=progress) as connect:
        device = connect()
        facts = device.facts
        for way in ways_of(target, device):
            asked = dataclasses.replace(target, engine=way.engine, precision=way.precision, threads=way.threads)
            try:
                with open_bench(asked, space, folder, reach=connect, progress=progress) as bench:
                    found.append(_measured(bench, way, configs))
                    warnings |= {warning.code: warning for warning in bench.warnings}
            except EdgewidthError as error:  # a runtime that cannot, or a model too large: the others still can
                progress.say(f"{way}: {error.message}")
                version = facts.runtimes.get(support_of(way.engine).key, "")
                found.append(Compared(way=way, runtime_version=version, latencies=(), failure=error.message))
    comparison = Comparison(
        device=target.profile.name,
        facts=facts,
        space=space,
        configs=configs,
        ways=tuple(sorted(found, key=lambda one: one.latencies[0].value_ms if one.latencies else float("inf"))),
        warnings=tuple(warnings.values()),
    )
    comparison.write(folder.comparison)
    best = comparison.fastest
    if best is None:
        raise DeviceError(
            f"{target.profile.name}: {found[0].failure if found else 'none of the profile’s runtimes is there.'}",
            remedy=f"edgewidth devices check {target.profile.name} tells what is missing.",
        )
    progress.say(f"Fastest on {target.profile.name}: {best.way} ({best.latencies[0].value_ms:.4g} ms)")
    return comparison


def ways_of(target: Target, device: Device) -> list[Way]:
    """Every engine that is there, in every precision, with the thread counts that its processors allow.

    What an accelerator leaves to the processor runs with the target's threads.
    """
    counts = {target.threads, *(count for count in THREADS if count <= (device.facts.cores or 1))}
    if device.transport.clock.repeats:
        counts = {1}
    there = device.facts.runtimes
    engines = [engine for engine in offered_engines(target.profile) if support_of(engine).key in there]
    return [
        Way(engine=engine, precision=precision, threads=threads)
        for engine in engines
        for precision in Precision
        for threads in (sorted(counts) if engine.accelerator.is_cpu else [target.threads])
    ]


def _measured(bench: Bench, way: Way, configs: Sequence[ChannelConfig]) -> Compared:
    bench.measure(configs)
    latencies = tuple(bench.estimate(config) for config in configs)
    return Compared(way=way, runtime_version=bench.setting.runtime_version, latencies=latencies)
