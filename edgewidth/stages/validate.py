"""The stage that measures a model file, as it is, on the device, and holds it against a budget."""

from __future__ import annotations

import hashlib
import math
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgewidth.devices.device import open_device
from edgewidth.devices.engines.table import offered_engines, support_of
from edgewidth.devices.ethos_u.micro import run_micro
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.energy import measure_energy
from edgewidth.devices.measure.estimate import estimate, scatter_of
from edgewidth.devices.measure.history import recall, remember
from edgewidth.devices.measure.scatter import STEADY
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.measure.sustained import check_sustained, measure_sustained
from edgewidth.devices.measure.tail import TAIL_RUNS
from edgewidth.devices.measure.warnings import state_warnings
from edgewidth.errors import FileError, InputError, MismatchError, ModelFailedError
from edgewidth.files import temporary_folder
from edgewidth.formats.feeds import WIDE, choose_feed
from edgewidth.formats.inspect import inspect_model, operator_work, read_model
from edgewidth.progress import SILENT, Progress, duration_text
from edgewidth.records.inputs import Feed, Fill
from edgewidth.records.measurement import Clock, Statistic
from edgewidth.records.validation import (
    Regression,
    ValidationReport,
    close_to_baseline,
    close_to_budget,
    over_memory,
)
from edgewidth.stages.baseline import check_baseline
from edgewidth.stages.bench import visiting
from edgewidth.stages.claim import locked
from edgewidth.stages.ledger import VALIDATE, replacing

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.devices.measure.policy import Policy
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.formats.feeds import Shapes
    from edgewidth.formats.format import ModelFacts
    from edgewidth.records.budget import Budget
    from edgewidth.records.measurement import Accelerator, Engine, LatencyEstimate, MeasurementWarning, Setting, Visit
    from edgewidth.records.validation import MicroRun, Sustained
    from edgewidth.stages.target import Target

VISITS = 12
"""How often the file is visited at first."""
SESSIONS = 3
"""Over how many processes and places of the file in memory the visits are spread."""
MOST_VISIT_MS = 1_800_000.0
"""No visit's runs take longer together, though a tail may then have fewer."""
MOST_REGRESSION_PERCENT = 20.0
"""How much slower than its baseline a file may be unless told otherwise."""
EXTENSIONS = 2
"""How often, at most, the visits are doubled because a limit lies within the interval of the latency."""


def kept(measured: Callable[[], ValidationReport], out: Path | None, *, force: bool) -> ValidationReport:
    """A validation, which a run folder is to have for its report if one is given.

    Raises:
        InputError: The folder has one, and ``force`` is not set; or it cannot be written.
    """
    if out is None:
        return measured()
    with locked(out) as folder, replacing(folder, VALIDATE, force=force):
        validation = measured()
        validation.write(folder.validation)
        return validation


def validate(
    model: Path,
    target: Target,
    *,
    budget: Budget | None = None,
    sustained_s: float | None = None,
    input_shapes: Shapes | None = None,
    input_values: Fill | Path | None = None,
    signature: str | None = None,
    baseline: ValidationReport | None = None,
    most_regression_percent: float = MOST_REGRESSION_PERCENT,
    measurements: Path | None = None,
    device: Device | None = None,
    progress: Progress = SILENT,
) -> ValidationReport:
    """Measure a model file, also one of another maker, as it is.

    The target's precision is replaced by the file's own. Without a ``budget`` the file is only measured. With
    ``sustained_s`` it then runs without a pause for so long, to see how its latency drifts; where the device fails
    meanwhile the verdict stands, with a warning. ``input_shapes``, by name, are for the sizes that the file leaves
    open, and ``input_values`` what inputs hold; see ``choose_feed``. ``signature`` is which of its signatures is
    measured; None: the first. ``baseline`` is an earlier validation, of this file or of one in its place: it may be
    slower than that by ``most_regression_percent``. The raw values are kept in the store ``measurements``; None: they
    are only in the report. ``device`` is given where it is open already.

    Raises:
        FileError: It cannot be read, is of no known format, is damaged, or does not run on the device.
        InputError: The engine does not execute files of this format, there is no such ``signature``, sizes or values of
            inputs are to be given, or no load can be sustained for so long.
        MismatchError: The baseline was measured in another way, or the budget is of another statistic.
        DeviceError, TransientDeviceError: The device failed.
    """
    if budget is not None and budget.statistic is not target.statistic:
        raise MismatchError(
            f"The budget is of the {budget.statistic}, and the {target.statistic} is measured.",
            remedy=f"Measure it with `statistic={budget.statistic}`, or give a budget of the {target.statistic}.",
        )
    if sustained_s is not None:
        check_sustained(target.profile, sustained_s)
    given = _Given.read(model, target, input_shapes or {}, input_values, signature)
    with ExitStack() as stack, _explained(model, given, target):
        device = device or stack.enter_context(open_device(target.profile, progress=progress))
        measurements = measurements or stack.enter_context(temporary_folder()) / "measurements.sqlite"
        store = stack.enter_context(MeasurementStore(measurements))
        setting = device.setting(target.engine, given.facts.precision, target.threads)
        limits = [] if budget is None else [budget.latency_ms]
        if baseline is not None:
            check_baseline(baseline, setting, target.statistic, given.feed.inputs)
            limits.append(Regression.of(baseline.estimate, baseline, most_regression_percent).limit_ms)
        file = _File(given.model, target, device, setting, store, progress)
        warnings = file.measure(limits)
        latency, loading = file.latency(), _loading(file.visits())
        regression = None if baseline is None else Regression.of(latency, baseline, most_regression_percent)
        too_much = over_memory(loading["ran"], budget)
        energy = measure_energy(device, setting, file.visits())  # of the device at rest
        sustained, failed = file.sustain(sustained_s)
        return ValidationReport(
            file=model.name,
            sha256=given.digest,
            size_bytes=len(given.content),
            inputs=given.feed.inputs,
            signature=given.facts.entry.name if given.facts.entry and len(given.facts.entries) > 1 else None,
            setting=setting,
            facts=device.facts,
            estimate=latency,
            budget=budget,
            within_budget=None if budget is None else latency.value_ms <= budget.latency_ms and not too_much,
            visits=tuple(file.visits()),
            **loading,
            micro=_micro(given.content, target, progress),
            energy=energy,
            warnings=(*_close(latency, budget, regression), *warnings, *failed),
            regression=regression,
            sustained=sustained,
        )


class _Given(NamedTuple):
    """A model file, and what it is given."""

    content: bytes
    facts: ModelFacts
    feed: Feed
    signature: str | None
    """As it was asked for."""

    @classmethod
    def read(
        cls, path: Path, target: Target, shapes: Shapes, values: Fill | Path | None, signature: str | None
    ) -> _Given:
        """Read the file, and choose its inputs.

        Raises:
            FileError: It cannot be read, or not twice, is of no known format, or is damaged.
            InputError: The engine does not execute it, there is no such signature, or its inputs are to be given.
        """
        _check_readable_again(path)
        facts, executed = inspect_model(path, signature), target.engine.file_format
        if facts.format is not executed:
            raise InputError(
                f"{path} is a .{facts.format} file; the runtime {target.engine} executes .{executed}.",
                remedy="Choose the `runtime` that executes it.",
            )
        feed = choose_feed(facts.inputs, shapes, values)
        return cls(read_model(path), facts, feed if signature is None else feed._replace(entry=facts.entry), signature)

    @property
    def digest(self) -> str:
        """The SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def model(self) -> Model:
        """What is measured: the same file with other inputs, or entered elsewhere, is another one."""
        values = [hashlib.sha256(self.feed.values).hexdigest()] if self.feed.values else []
        signature = [] if self.signature is None else [self.signature]
        key = "; ".join([self.digest, *map(str, self.feed.inputs), *values, *signature])
        return Model(key, lambda: self.content, self.feed, operator_work)


def _check_readable_again(path: Path) -> None:
    """Whether a file is one that can be read more than once: what it is, is asked before what it holds.

    Raises:
        FileError: It is a pipe or the like, which would be empty the second time.
    """
    try:
        kind = path.stat().st_mode
    except OSError:
        return  # whoever reads it says what is wrong
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise FileError(
            f"{path} is no file that can be read more than once, such as a pipe.",
            remedy="Write the model into a file, and give that.",
        )


def _close(
    latency: LatencyEstimate, budget: Budget | None, regression: Regression | None
) -> Iterator[MeasurementWarning]:
    """Warnings of the limits that lie within the interval."""
    if regression is not None and _undecided(latency, regression.limit_ms):
        yield close_to_baseline(latency, regression)
    if budget is not None and _undecided(latency, budget.latency_ms):
        yield close_to_budget(latency, budget)


def _micro(content: bytes, target: Target, progress: Progress) -> MicroRun | None:
    """What the processor beside an Ethos-U makes of a file by itself; other devices are none."""
    if not target.profile.ethos_u:
        return None
    found = run_micro(content)
    if found is None:
        progress.say("Whether TensorFlow Lite Micro runs it can be told with: pip install tflite-micro")
    return found


def _loading(visits: Sequence[Visit]) -> dict[str, Any]:
    """What loading the file took, and where it ran then."""
    loads = [visit for visit in visits if visit.load_ns is not None]
    told = [visit.ran for visit in visits if visit.ran is not None]
    return {
        "load_ms": max((visit.load_ns / 1e6 for visit in loads if visit.load_ns is not None), default=None),
        "first_ms": max((visit.warmup_ns[0] / 1e6 for visit in loads), default=None),
        "ran": min(told, key=lambda ran: ran.operators_percent, default=None),
    }


class _File:
    """The file on the device: its visits, and what they amount to."""

    def __init__(
        self,
        model: Model,
        target: Target,
        device: Device,
        setting: Setting,
        store: MeasurementStore,
        progress: Progress,
    ) -> None:
        self.model, self.target, self.device, self.setting = model, target, device, setting
        self.store, self.progress = store, progress
        # A device that counts instructions has no states to remember.
        self.earlier = recall(setting) if setting.clock is Clock.WALL else {}

    def measure(self, limits_ms: Sequence[float]) -> tuple[MeasurementWarning, ...]:
        """Visit it as often as its statistic needs, and again where a limit lies within the interval; warnings."""
        policy = visiting(self.setting.clock, VISITS, sessions=SESSIONS)
        if self.target.statistic is not Statistic.MEDIAN:
            began = time.monotonic()
            self._visit(policy.model_copy(update={"rounds": 1}))
            policy = _for_tail(policy, self.visits(), self.target, time.monotonic() - began, self.progress)
        warnings = self._visit(policy)
        for extension in range(EXTENSIONS):
            if self.setting.clock.repeats or not limits_ms:
                break
            # More visits do not narrow what the device's other states leave open.
            latency = self.latency(steady=True)
            if not any(_undecided(latency, limit_ms) for limit_ms in limits_ms):
                break
            warnings = self._visit(policy.model_copy(update={"rounds": VISITS * 2 ** (1 + extension)}))
        if self.setting.clock is Clock.WALL:
            remember(self.setting, self.visits())
            warnings += state_warnings(self.visits(), self.earlier.get(self.model.key, ()), self._median())
        return warnings

    def visits(self) -> list[Visit]:
        """All that the store has of it."""
        return self.store.visits(self.setting)[self.model.key]

    def latency(self, *, steady: bool = False) -> LatencyEstimate:
        """What the visits amount to, by the device's other states too; ``steady``: in its present one alone."""
        if self.target.statistic is not Statistic.MEDIAN:
            return estimate(self.visits(), self.target.statistic)
        return self._median(steady=steady)

    def sustain(self, duration_s: float | None) -> tuple[Sustained | None, tuple[MeasurementWarning, ...]]:
        """What it takes under a load of so long, and warnings; None: there is no load."""
        if duration_s is None:
            return None, ()
        return measure_sustained(
            self.device, self.setting, self.model, self.store, duration_s=duration_s, progress=self.progress
        )

    def _median(self, *, steady: bool = False) -> LatencyEstimate:
        """The latency's median, whatever the statistic; ``steady`` as above."""
        found = self.store.visits(self.setting)
        together = {key: [*found.get(key, ()), *self.earlier.get(key, ())] for key in {*found, *self.earlier}}
        known = scatter_of(together.values(), Statistic.MEDIAN)
        return estimate(self.visits(), Statistic.MEDIAN, known=known._replace(state=STEADY) if steady else known)

    def _visit(self, policy: Policy) -> tuple[MeasurementWarning, ...]:
        return measure(self.device, self.setting, [self.model], self.store, policy=policy, progress=self.progress)


def _undecided(latency: LatencyEstimate, limit_ms: float) -> bool:
    """Whether the verdict could turn out otherwise: the limit lies within the interval."""
    return latency.low_ms < latency.high_ms and latency.low_ms <= limit_ms < latency.high_ms


def _for_tail(policy: Policy, visits: Sequence[Visit], target: Target, elapsed_s: float, progress: Progress) -> Policy:
    """The policy with as many runs as a tail needs, said with the time that they take.

    ``visits`` were made first, and took ``elapsed_s`` of this machine's time.
    """
    made = [ns for visit in visits for ns in (*visit.warmup_ns, *visit.runs_ns)]
    run_s = float(np.median(made)) / 1e9
    # An emulated device's second takes its host much longer, and a visit takes more than its runs.
    each_s = max(run_s, elapsed_s * run_s / (sum(made) / 1e9)) if target.profile.transport == "emulator" else run_s
    runs = sum(len(visit.runs_ns) for visit in visits)
    per_visit = max(policy.min_runs, math.ceil((TAIL_RUNS - runs) / max(1, policy.rounds - len(visits))))
    progress.say(f"A {target.statistic} takes {TAIL_RUNS:,} runs: about {duration_text(TAIL_RUNS * each_s)}.")
    longest_ms = min(MOST_VISIT_MS, max(policy.visit_max_ms, 2e3 * per_visit * run_s))
    return policy.model_copy(update={"min_runs": per_visit, "visit_max_ms": longest_ms})


@contextmanager
def _explained(model: Path, given: _Given, target: Target) -> Iterator[None]:
    """Tell a model that does not run on the device as what it is: a file that cannot be used there."""
    try:
        yield
    except ModelFailedError as error:
        raise FileError(
            f"{model} does not run on {target.profile.name} with {target.engine}: {error.reason}.",
            remedy=_remedy(given.facts, given.feed, error.reason),
        ) from error


def _remedy(facts: ModelFacts, feed: Feed, reason: str) -> str:
    """What to do about a model that does not run, by what is known of it."""
    if any(name.startswith("Flex") for name in facts.custom_operators):
        return (
            f"It has operators of TensorFlow ({', '.join(facts.custom_operators[:4])}): convert it without them, or "
            "measure with a benchmark_model that has the Flex delegate, `benchmark_model=push:/path/to/it`."
        )
    if "edgetpu-custom-op" in facts.custom_operators:
        return (
            "It is compiled for an Edge TPU: measure it there, `accelerator=npu` with its delegate in the profile, "
            "`npu.delegate=libedgetpu.so.1`, or measure the file that it was made of."
        )
    if facts.custom_operators:
        names = ", ".join(facts.custom_operators[:4])
        return f"It has operators of its own ({names}), which the runtime there must know."
    if "IR version" in reason or "opset" in reason:
        return "Save it with an older ir_version and opset (onnx.version_converter), or use a newer runtime there."
    if made_up := [one for one in feed.inputs if one.dtype in WIDE and one.values is not Fill.GIVEN]:
        return (
            f"{made_up[0].name} was {made_up[0].values}: if the model needs others, give them, `input_values=FILE.npz`."
        )
    return "The file may be damaged, need more memory than is free there, or operators that the runtime does not know."


def engine_for(model: Path, profile: DeviceProfile, accelerator: Accelerator | None = None) -> Engine | None:
    """The engine of a profile that executes a file: its default one if that does; None if none does.

    ``accelerator`` is what it shall compute on; None: the profile's default.

    Raises:
        FileError: The file cannot be read, or not twice, is of no known format, or is damaged.
    """
    _check_readable_again(model)
    found = inspect_model(model).format
    wanted = accelerator or profile.accelerator
    offered = [one for one in offered_engines(profile) if one.accelerator is wanted and one.file_format is found]
    default = next((one for one in offered if support_of(one).name is profile.runtime), None)
    return default or next(iter(offered), None)
