"""The stage that measures a model file, as it is, on the device, and holds it against a budget."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.devices.device import open_device
from edgewidth.devices.engines.table import engine_named, offered_engines
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.estimate import estimate
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.measure.sustained import measure_sustained
from edgewidth.errors import InputError
from edgewidth.files import temporary_folder
from edgewidth.formats.inspect import inspect_model
from edgewidth.progress import SILENT, Progress
from edgewidth.records.validation import ValidationReport
from edgewidth.stages.bench import visiting

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.records.budget import Budget
    from edgewidth.records.measurement import Engine, MeasurementWarning
    from edgewidth.stages.target import Target

VISITS = 12
"""How often the file is visited at first."""
EXTENSIONS = 2
"""How often, at most, the visits are doubled because the budget lies within the interval of the latency."""


def validate(
    model: Path,
    target: Target,
    *,
    budget: Budget | None = None,
    sustained_s: float | None = None,
    measurements: Path | None = None,
    device: Device | None = None,
    progress: Progress = SILENT,
) -> ValidationReport:
    """Measure a model file, also one of another maker, as it is.

    The target's precision is replaced by the file's own. Without a ``budget`` the file is only measured. With
    ``sustained_s`` it then runs without a pause for so long, to see how its latency drifts. The raw values are kept in
    the store ``measurements``; None: they are only in the report. ``device`` is given where it is open already.

    Raises:
        FileError: It cannot be read, is of no known format, or is damaged.
        InputError: The engine does not execute files of this format.
        DeviceError, TransientDeviceError: The device failed.
    """
    inspected, executed = inspect_model(model), target.engine.file_format
    if inspected.format is not executed:
        raise InputError(
            f"{model} is a .{inspected.format} file; the runtime {target.engine} executes .{executed}.",
            remedy="Choose the `runtime` that executes it.",
        )
    content = model.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with ExitStack() as stack:
        device = device or stack.enter_context(open_device(target.profile, progress=progress))
        measurements = measurements or stack.enter_context(temporary_folder()) / "measurements.sqlite"
        store = stack.enter_context(MeasurementStore(measurements))
        setting = device.setting(target.engine, inspected.precision, target.threads)
        models = [Model(digest, lambda: content)]

        def visit(visits: int) -> tuple[MeasurementWarning, ...]:
            return measure(device, setting, models, store, policy=visiting(setting.clock, visits), progress=progress)

        warnings = visit(VISITS)
        for extension in range(EXTENSIONS):
            latency = estimate(store.visits(setting)[digest], target.statistic)
            if budget is None or not latency.low_ms <= budget.latency_ms <= latency.high_ms:
                break
            warnings = visit(VISITS * 2 ** (1 + extension))
        visits = store.visits(setting)[digest]
        latency = estimate(visits, target.statistic)
        return ValidationReport(
            file=model.name,
            sha256=digest,
            size_bytes=len(content),
            setting=setting,
            facts=device.facts,
            estimate=latency,
            budget=budget,
            within_budget=None if budget is None else latency.value_ms <= budget.latency_ms,
            visits=tuple(visits),
            warnings=warnings,
            sustained=None
            if sustained_s is None
            else measure_sustained(device, setting, models[0], store, duration_s=sustained_s, progress=progress),
        )


def engine_for(model: Path, profile: DeviceProfile) -> Engine | None:
    """The engine of a profile that executes a file: its default one if that does; None if none does.

    Raises:
        FileError: The file cannot be read, is of no known format, or is damaged.
    """
    found = inspect_model(model).format
    engines = (engine_named(profile), *offered_engines(profile))
    return next((engine for engine in engines if engine.file_format is found), None)
