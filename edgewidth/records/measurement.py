"""What a device said: raw times, its state before and after, and what they amount to."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from edgewidth.documents import Record
from edgewidth.shown import Shown


class FormatName(StrEnum):
    """A format of model files; it is also the ending of their names."""

    TFLITE = "tflite"
    ONNX = "onnx"


class Runtime(StrEnum):
    """A library that executes models."""

    LITERT = "litert"
    TFLITE_RUNTIME = "tflite-runtime"
    ONNXRUNTIME = "onnxruntime"
    VELA = "vela"
    """Arm's compiler for the Ethos-U, which executes nothing: what it says that a file costs stands in for that."""

    @property
    def file_format(self) -> FormatName:
        """The format of the files that it executes."""
        return _FILE_FORMATS[self]


_FILE_FORMATS = {
    Runtime.LITERT: FormatName.TFLITE,
    Runtime.TFLITE_RUNTIME: FormatName.TFLITE,
    Runtime.ONNXRUNTIME: FormatName.ONNX,
    Runtime.VELA: FormatName.TFLITE,
}


class Accelerator(StrEnum):
    """The kind of processor that a runtime computes on."""

    CPU = "cpu"
    CPU_BUILTIN = "cpu-builtin"
    """The processor with TFLite's own kernels, without XNNPACK, which ``cpu`` has."""
    GPU = "gpu"
    NPU = "npu"

    @property
    def is_cpu(self) -> bool:
        """Whether it is the processor itself, so that nothing can be left to it."""
        return self in {Accelerator.CPU, Accelerator.CPU_BUILTIN}


class Launcher(StrEnum):
    """What hands a model to a runtime on the device, runs it and takes the times."""

    PYTHON = "python"
    BENCHMARK_MODEL = "benchmark_model"
    PERF_TEST = "onnxruntime_perf_test"


class Engine(Record):
    """What runs a model on a device: a runtime, on an accelerator, through a launcher."""

    runtime: Runtime
    accelerator: Accelerator = Accelerator.CPU
    launcher: Launcher = Launcher.PYTHON
    backend: str = ""
    """What takes a model to the accelerator, with its options, where a device profile says it: the file of a delegate
    or the name of an execution provider. Empty: the runtime's own way."""

    def __str__(self) -> str:
        accelerator = "" if self.accelerator is Accelerator.CPU else f" on {self.accelerator}"
        backend = f" ({self.backend})" if self.backend else ""
        launcher = "" if self.launcher is Launcher.PYTHON else f" through {self.launcher}"
        return f"{self.runtime}{accelerator}{backend}{launcher}"

    @property
    def file_format(self) -> FormatName:
        """The format of the files that it executes."""
        return self.runtime.file_format


class EngineName(StrEnum):
    """How an engine is asked for, on the command line and in a device profile.

    A device profile decides which engine of its name is meant: ``onnxruntime`` is ONNX Runtime's own program where
    the profile has that, and else the Python package.
    """

    LITERT = "litert"
    TFLITE_RUNTIME = "tflite-runtime"
    ONNXRUNTIME = "onnxruntime"
    BENCHMARK_MODEL = "benchmark_model"
    VELA = "vela"


class Precision(StrEnum):
    """The number format that an artifact computes in."""

    INT8 = "int8"
    """Weights and activations are int8, in ranges that images have shown."""
    DYNAMIC_INT8 = "dynamic-int8"
    """Weights are int8; activations are floating-point and rounded while it runs."""
    FLOAT16 = "float16"
    """Weights are float16; where nothing else can compute with them, they become float32 first."""
    FLOAT32 = "float32"

    @classmethod
    def _missing_(cls, value: object) -> Precision | None:
        """As older documents spell it."""
        return cls.DYNAMIC_INT8 if value == "dynamic int8" else None


class OtherPrecision(StrEnum):
    """Number formats that only files of other makers compute in."""

    INT16X8 = "16x8"
    """Weights are int8, activations int16."""
    MIXED = "mixed"


FilePrecision = Precision | OtherPrecision
"""What any file may compute in."""


def overall_precision(found: Collection[FilePrecision]) -> FilePrecision:
    """That of a file whose operators have these. Dynamic int8 it is too where small layers stay float32."""
    kinds = set(found)
    if kinds == {Precision.FLOAT32, Precision.DYNAMIC_INT8}:
        return Precision.DYNAMIC_INT8
    return kinds.pop() if len(kinds) == 1 else OtherPrecision.MIXED


class Words(NamedTuple):
    """``measure``, ``measured`` and ``measurement``, or what stands for them."""

    verb: str
    past: str
    noun: str


_MEASURED = Words("measure", "measured", "measurement")
_ESTIMATED = Words("estimate", "estimated", "estimate")


class Clock(StrEnum):
    """What a nanosecond is: real time, instructions counted by an emulator (1 ns each), or a compiler's estimate."""

    WALL = "wall"
    ICOUNT = "icount"
    ESTIMATE = "estimate"

    @property
    def repeats(self) -> bool:
        """Whether it tells the same again and again: no device's noise is in it."""
        return self is not Clock.WALL

    @property
    def words(self) -> Words:
        """What its latencies are called: nothing was measured where a compiler estimates."""
        return _ESTIMATED if self is Clock.ESTIMATE else _MEASURED


class Statistic(StrEnum):
    """Which number stands for the distribution of latencies."""

    MEDIAN = "median"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"

    @property
    def quantile(self) -> float:
        """The quantile as a share from 0 to 1."""
        return 0.5 if self is Statistic.MEDIAN else int(self.value[1:]) / 100


class Setting(Record):
    """How and where something was measured: only measurements that agree in all of it meet in one table."""

    device: str
    """The name of the device profile."""
    hardware: str
    """What the device says it is: its model and processor."""
    engine: Engine
    runtime_version: str
    """The version that the runtime's package tells. A native program tells none; for one it is ``sha256:`` and the
    beginning of the program's digest."""
    threads: Annotated[int, Field(ge=1)]
    precision: FilePrecision
    clock: Clock = Clock.WALL

    @property
    def facts(self) -> dict[str, object]:
        """Its fields by name."""
        return dict(self)


class Covers(StrEnum):
    """What hangs on a power sensor."""

    BOARD = "board"
    """The whole device."""
    PROCESSOR = "processor"
    """The processor's package, or the rail of its cores, shared with others or not."""
    GPU = "gpu"
    NPU = "npu"
    PART = "part"
    """Some part of the device, known by the sensor's name only."""


_Finite = Annotated[float, Field(allow_inf_nan=False)]


class AcceleratorState(Record):
    """How a GPU or an NPU is doing at one moment. What is None it does not say."""

    frequency_mhz: _Finite | None = None
    temperature_c: _Finite | None = None
    load_percent: _Finite | None = None
    """The share of the latest moments in which it worked; how many moments differs from system to system."""
    power_w: _Finite | None = None
    """Where its driver tells that: the mean of about the last second."""
    held_back: tuple[str, ...] = ()
    """What lowers its clock just now, such as ``heat`` or ``power cap``, where its driver tells that."""

    def __str__(self) -> str:
        known = (
            (self.frequency_mhz, "MHz"),
            (self.temperature_c, "°C"),
            (self.load_percent, "% busy"),
            (self.power_w, "W"),
        )
        held_back = [f"held back: {', '.join(self.held_back)}"] if self.held_back else []
        return ", ".join([*(f"{value:.4g} {unit}" for value, unit in known if value is not None), *held_back])


class Rail(Record):
    """What one power sensor says at one moment: a counter or a momentary power."""

    source: str
    """The sensor's name, the same every time."""
    covers: Covers
    at_s: _Finite
    """When it was read, in seconds by a clock of the device's that only runs forward."""
    energy_uj: Annotated[int, Field(ge=0)] | None = None
    """Microjoules counted up to now, since some moment."""
    wraps_uj: Annotated[int, Field(ge=0)] | None = None
    """The counter begins at 0 again above this; None: not known."""
    power_w: _Finite | None = None


class DeviceState(Record):
    """What a device says of itself at one moment. What is None it does not say."""

    temperature_c: float | None = None
    frequency_mhz: float | None = None
    governor: str | None = None
    throttled: tuple[str, ...] = ()
    """The flags that are raised: ``under-voltage``, ``frequency capped``, ``throttled`` or ``soft temperature limit``.
    With ``since boot`` behind it, a flag was raised at some time since the device was started."""
    throttling_unknown: str | None = None
    """Why a device that has such flags could not tell them, in its own words."""
    load_1m: float | None = None
    available_bytes: int | None = None
    swapped_pages: int | None = None
    """How many pages were swapped in and out since the device was started."""
    busy_s: float | None = None
    """How many seconds all processors together worked since the device was started."""
    probe_ns: int | None = None
    """How long a fixed calculation took, which tells how fast the processor was at that moment."""
    uptime_s: float | None = None
    """Seconds since the device was started, where more happens between two states than the runs that are told."""
    gpu: AcceleratorState | None = None
    npu: AcceleratorState | None = None
    rails: tuple[Rail, ...] = ()
    """What the power sensors say, read next to the runs."""
    rails_unknown: str | None = None
    """Why a device that has such sensors could not tell them."""

    def accelerator(self, kind: Accelerator) -> AcceleratorState | None:
        """How the one is doing that an engine computes on; None: it is the processor, or does not say."""
        return {Accelerator.GPU: self.gpu, Accelerator.NPU: self.npu}.get(kind)


class DeviceFacts(Record):
    """What a device is, as it says itself. What is None it does not say."""

    model: str | None = None
    processor: str | None = None
    architecture: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    system: str | None = None
    python: str | None = None
    runtimes: dict[str, str] = Field(default_factory=dict)
    """The versions of what can run models there: of Python packages by the name of the runtime, of native programs by
    the name of the launcher."""
    free_bytes: int | None = None
    """The free space where models are put."""

    @property
    def hardware(self) -> str:
        """One line that tells this kind of machine from another."""
        parts = (self.model, self.processor, f"{self.cores} cores" if self.cores else None, self.architecture)
        return ", ".join(dict.fromkeys(part for part in parts if part)) or "unknown hardware"


class OperatorWork(NamedTuple):
    """What an operator of a model file costs."""

    name: str
    """What the file calls it: a node's name, or its kind where operators have none."""
    macs: int
    """Its multiply-accumulates."""


class Footprint(Record):
    """The memory that a compiled model takes, as the accelerator's compiler counts it."""

    sram_bytes: Annotated[int, Field(ge=0)]
    """What its tensors take at once of the fast memory on the chip."""
    flash_bytes: Annotated[int, Field(ge=0)]
    """Everything beside that: its weights and its program, in flash or in external memory."""

    def __str__(self) -> str:
        return f"{self.sram_bytes / 1e3:.4g} kB of SRAM and {self.flash_bytes / 1e3:.4g} kB of flash"


class Ran(Record):
    """How much of a model ran on the accelerator that was asked for, as the runtime there told it."""

    operators: Annotated[int, Field(ge=0)]
    """How many operators the runtime had to place."""
    accelerated: Annotated[int, Field(ge=0)]
    """How many of them it placed on the accelerator."""
    partitions: int | None = None
    """Into how many parts the accelerated operators fell: between two of them everything goes through the processor.
    None: the runtime does not tell."""
    left: tuple[str, ...] = ()
    """The kinds of operators that were left to the processor, as the runtime names them, each once."""
    processor: str | None = None
    """What the accelerator calls itself; None: it does not say."""
    macs_percent: float | None = None
    """The share of the multiply-accumulates that the accelerator made; None: not known."""
    difference_percent: float | None = None
    """The largest difference of an output from the processor's, in percent of the range that the processor's has; None:
    not compared."""
    footprint: Footprint | None = None
    """None: nothing was compiled, or the compiler does not tell."""

    @property
    def operators_percent(self) -> float:
        """The share of the operators that ran on the accelerator."""
        return 100 * self.accelerated / self.operators if self.operators else 0.0

    def __str__(self) -> str:
        macs = "" if self.macs_percent is None else f" ({self.macs_percent:.3g} % of the multiply-accumulates)"
        where = f"the accelerator, {self.processor}" if self.processor else "the accelerator"
        verb = "ran on" if self.footprint is None else "are compiled for"  # of which none has run
        text = f"{self.accelerated} of {self.operators} operators{macs} {verb} {where}"
        if self.footprint is not None:
            text += f", with {self.footprint}"
        if self.accelerated < self.operators:
            text += f", in {self.partitions} parts" if self.partitions and self.partitions > 1 else ""
            text += f"; left to the processor: {', '.join(self.left) or 'not told'}"
        if self.difference_percent is None:
            return text
        return f"{text}; outputs within {self.difference_percent:.2g} % of the processor's"


class Visit(Record):
    """One warm-up of a model and the back-to-back runs after it. Times are raw nanoseconds."""

    model: str
    """The key of the model that was measured: a configuration's text, or an artifact's digest."""
    round: int
    """Its number among the visits to this model, from 0."""
    started_s: float
    """When it began, in Unix time by the host's clock."""
    warmup_ns: tuple[int, ...]
    runs_ns: Annotated[tuple[int, ...], Field(min_length=1)]
    before: DeviceState = DeviceState()
    after: DeviceState = DeviceState()
    own_s: float | None = None
    """How many processor seconds the measuring process used between ``before`` and ``after``."""
    disturbed: str | None = None
    """What disturbed the device meanwhile, so that the visit does not count; None if nothing did."""
    slow_above_ns: float | None = None
    """Three runs in a row with a higher median than this do not count either; None if that is not known yet."""
    load_ns: int | None = None
    """How long the runtime took to load the model, and to compile it where the engine does; None: not told, or it had
    been loaded for an earlier visit."""
    ran: Ran | None = None
    """How much of the model ran on the accelerator; None: the engine is the processor, or it was told before."""
    session: str = ""
    """Which runner made it: visits of one share a process they come from, and the place of the model's file in memory.
    Empty where that was not told yet."""


class LatencyEstimate(Shown, Record):
    """A statistic of a measured latency with its 95 % confidence interval."""

    statistic: Statistic
    value_ms: float
    low_ms: float
    high_ms: float
    visits: int
    """How many visits count."""
    runs: int
    """How many runs of these visits count."""
    counted_percent: float = 100.0
    """The share of all runs that count. The others were made while something disturbed the device."""
    all_ms: float | None = None
    """The statistic of all runs, including those that do not count."""
    state_percent: float = 0.0
    """The standard deviation of latencies minutes apart on this device, which the interval allows for."""


class EnergyQuality(StrEnum):
    """How far an energy can be trusted."""

    GOOD = "good"
    """From a counter, over the runs and little else."""
    FAIR = "fair"
    """From a counter, over more than the runs, such as the starts of a program, or over few visits."""
    POOR = "poor"
    """From the power at a moment right after the runs."""


class EnergyEstimate(Record):
    """The energy that one inference takes, by one power sensor: an estimate, in millijoules."""

    source: str
    """The power sensor."""
    covers: Covers
    """What hangs on it: nothing else is in these numbers."""
    quality: EnergyQuality
    value_mj: float
    """Everything that the sensor sees while one inference runs, what the idle device takes included."""
    low_mj: float | None
    """From here to ``high_mj`` is the 95 % interval by how much visits differ; null with fewer than three visits."""
    high_mj: float | None
    visits: int
    """How many visits count."""
    power_w: float
    """The mean power while it runs."""
    idle_w: float | None = None
    """The power without any inference, measured shortly after; null: not known."""
    above_idle_mj: float | None = None
    """What is left of ``value_mj`` without the idle power; null where that is not known."""

    def __str__(self) -> str:
        """With how good it is, and what is in it."""
        interval = "" if self.low_mj is None else f", 95 % interval {self.low_mj:.3g} to {self.high_mj:.3g}"
        how = "power right after the runs" if self.quality is EnergyQuality.POOR else "counter"
        seen = "a part of the device" if self.covers is Covers.PART else f"the whole {self.covers}"
        idle = "idle power is not known" if self.idle_w is None else f"{self.above_idle_mj:.3g} mJ above idle"
        return (
            f"{self.value_mj:.3g} mJ per inference ({self.quality}: {how} of {self.source}, {seen}{interval}; {idle})"
        )


class MeasurementWarning(Record):
    """Something that makes a measurement less trustworthy, and what to do about it."""

    code: Annotated[str, Field(pattern=r"^[a-z-]+$")]
    message: str
    remedy: str
