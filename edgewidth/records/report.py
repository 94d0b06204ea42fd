"""The report of a run folder: everything that ``report.html`` shows, as one documented JSON document."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from edgewidth.documents import Document, Record
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.artifact import Artifact
from edgewidth.records.budget import Budget
from edgewidth.records.inputs import ModelInput
from edgewidth.records.losses import (
    Correction,
    EvaluationPhase,
    HeldOutKind,
    LossQuality,
    NarrowingStep,
    VariableLosses,
)
from edgewidth.records.measurement import (
    Accelerator,
    Clock,
    DeviceFacts,
    EnergyEstimate,
    EngineName,
    LatencyEstimate,
    MeasurementWarning,
    Precision,
    Ran,
    Setting,
    Statistic,
    Visit,
    Words,
)
from edgewidth.records.run import DataFacts
from edgewidth.records.search import Certificate, Choice, FrontierPoint, RefineStep
from edgewidth.records.table import HeldOut, TableQuality
from edgewidth.records.upgrades import name_accuracies, name_engine, name_splits, name_visits
from edgewidth.resolution import Resolution
from edgewidth.shown import Shown

Verdict = Literal["within budget", "over budget", "partial"]
Stage = Literal["profile", "train", "search", "finetune", "export", "validate"]


class _Described(Record):
    """A record whose field comments become the descriptions of the JSON schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Measured(_Described):
    """The latency of the emitted file itself, as the device ran it."""

    file: str
    inputs: tuple[ModelInput, ...] = ()
    """What the file was given; empty where an older validation does not tell."""
    median_ms: float
    """The median of the runs, whatever statistic the budget is about."""
    statistic: Statistic
    value_ms: float
    """The budget's statistic, with its 95 % confidence interval ``low_ms`` to ``high_ms``."""
    low_ms: float
    high_ms: float
    visits: int
    runs: int
    counted_percent: float
    """The share of all runs that count: the others were made while something disturbed the device."""
    all_ms: float | None
    """The statistic of all runs, those too that do not count."""
    load_ms: float | None = None
    """How long the runtime took to load the file and, where the engine does, to compile it."""
    first_ms: float | None = None
    """How long the first inference after loading took."""
    ran: Ran | None = None
    """How much of the file ran on the accelerator; null where the engine is the processor, or does not tell."""
    energy: tuple[EnergyEstimate, ...] = ()
    """The energy of an inference by each of the device's power sensors, the best estimate first; empty where it has
    none, or may not read them."""
    state_percent: float = 0.0
    """The standard deviation of latencies minutes apart on this device, which the interval allows for."""
    percentiles_ms: dict[str, float]
    """``min``, ``p10``, ``p50``, ``p90``, ``p95``, ``p99`` and ``max`` of all runs, those too that do not count."""
    budget_used_percent: float | None
    clear: bool | None
    """Whether the whole interval lies on one side of the budget; null without a budget."""


class Predicted(_Described):
    """The latency of the chosen configuration according to the latency table: not a measurement."""

    median_ms: float | None
    """Null where the table predicts another statistic than the median."""
    statistic: Statistic
    value_ms: float
    """The table's statistic, with its 95 % interval ``low_ms`` to ``high_ms``."""
    low_ms: float
    high_ms: float
    difference_percent: float | None
    """How far the measured value is above (positive) or below the predicted one, in percent."""


class ReportedArtifact(Artifact):
    """An exported file with the 95 % interval of its accuracy, from the number of test images."""

    accuracy_low_percent: float | None
    accuracy_high_percent: float | None


class Candidate(_Described):
    """A channel configuration that could have been chosen, counted, predicted and, where it was, measured."""

    method: str
    """``chosen``, ``runner-up``, ``uniform 1.0``, or the baseline method that would have chosen it."""
    config: ChannelConfig
    predicted_ms: float | None
    low_ms: float | None
    high_ms: float | None
    predicted_loss: float | None
    """Excess loss over the maximum network, in nats, according to the unary losses."""
    judged_loss: float | None
    """Excess loss (nats) of the supernet at this configuration on the holdout images, which the search has not seen."""
    behind: float | None
    """How far ``judged_loss`` is above that of the chosen configuration."""
    behind_error: float | None
    """The standard error of ``behind``."""
    measured_ms: float | None
    """Measured as a variant with stand-in weights; not the emitted file."""
    macs: int
    parameters: int
    peak_activations: int


class VariableWidths(_Described):
    """One width variable: what it may be, what was chosen, and what uniform networks have there."""

    variable: str
    layers: tuple[str, ...]
    base: int
    """The variable's width at width multiplier 1.0."""
    choices: tuple[int, ...]
    chosen: int
    uniform: int | None
    """The variable's width in the widest uniform network within the same budget; null where none was found."""
    uniform_full: int
    """The variable's width in the uniform 1.0 network."""
    at_end: Literal["lowest", "highest"] | None
    """At which end of its range the chosen width is: there a wider range could give a better network."""


class SearchReport(_Described):
    """What the search found, and by how much something better could exist under the table and the losses."""

    chosen: Choice
    clock: Clock = Clock.WALL
    """That of the latency table."""
    certificate: Certificate
    frontier: tuple[FrontierPoint, ...]
    alternatives: tuple[Choice, ...]
    refinement: tuple[RefineStep, ...]


class TableReport(_Described):
    """How good the latency table is."""

    quality: TableQuality
    held_out: tuple[HeldOut, ...]


class LossPoint(_Described):
    """One held-out configuration: excess loss as the unary losses predict it, and as it was evaluated."""

    config: ChannelConfig
    predicted: float
    evaluated: float


class HeldOutReport(_Described):
    """Configurations that the losses were not fitted to, drawn uniformly or about the budget."""

    kind: HeldOutKind
    quality: LossQuality
    points: tuple[LossPoint, ...]


class RivalPoint(_Described):
    """A configuration near the budget that was trained briefly; losses in nats."""

    config: ChannelConfig
    methods: tuple[str, ...]
    """Whose choice it was; ``drawn``: because it tells much of the others."""
    rungs: int
    """At how many rungs of the schedule it was judged."""
    supernet_loss: float
    """Its excess loss by the supernet's losses."""
    corrected_loss: float
    """Its excess loss by the corrected ones."""
    trained_loss: float
    """Its own loss at the last rung that it reached, less what the rest of the schedule takes off every rival's."""


class RivalReport(_Described):
    """What brief trainings of rivals say of the losses."""

    images: int
    """On how many images they were judged, which no search has seen."""
    steps: int
    """Of the whole schedule."""
    points: tuple[RivalPoint, ...]
    correction: Correction
    supernet_spearman: float
    corrected_spearman: float
    """Each rival predicted from the others' alone."""
    seconds: float


class LossReport(_Described):
    """How far the unary losses can be trusted, and from where widths were drawn in training."""

    images: int
    max_loss: float
    variables: tuple[VariableLosses, ...]
    held_out: tuple[HeldOutReport, ...]
    evaluation: EvaluationPhase
    narrowing: tuple[NarrowingStep, ...]
    """Empty: widths were drawn uniformly to the end."""
    rivals: RivalReport | None = None
    """None: the losses are the supernet's alone."""


class DeviceReport(_Described):
    """The device that was measured."""

    setting: Setting
    facts: DeviceFacts | None


class Reproduce(_Described):
    """What it takes to do the run again."""

    command: str
    seed: int
    recipe: str
    data: DataFacts
    runtime: EngineName
    accelerator: Accelerator = Accelerator.CPU
    precision: Precision
    threads: int
    versions: dict[str, str]
    space_fingerprint: str


class NetworkReport(_Described):
    """The network and its search space."""

    family: str
    resolution: Resolution
    in_channels: int
    num_classes: int
    variables: int
    configurations: int
    """How many configurations the search space holds."""


class Report(Shown, Document):
    """The run folder's ``report.json``.

    Every latency under ``measured`` was observed on the device with the emitted file; everything under
    ``predicted`` comes from the latency table. What a missing stage would have given is null or empty.
    """

    # What was added with a default is written too.
    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=True)
    schema_name: ClassVar[str] = "edgewidth/report"
    schema_version: ClassVar[int] = 2

    verdict: Verdict
    """``partial`` as long as the emitted file has not been measured against a budget."""
    summary: str
    """The verdict as one sentence."""
    missing: tuple[Stage, ...]
    """The stages that have not been done, in order."""
    network: NetworkReport | None
    """Null where there is nothing but a measured file."""
    budget_request: str | None
    """The budget as it was asked for: ``8ms`` or ``60%``."""
    budget: Budget | None
    measured: Measured | None
    predicted: Predicted | None
    artifacts: tuple[ReportedArtifact, ...]
    reference_accuracy_percent: float | None
    """The trained torch network's own accuracy on the same images."""
    widths: tuple[VariableWidths, ...]
    candidates: tuple[Candidate, ...]
    """The chosen configuration first, then the uniform 1.0 network and what the baselines would have chosen."""
    search: SearchReport | None
    table: TableReport | None
    losses: LossReport | None
    training: tuple[dict[str, float], ...]
    """One object per epoch of the supernet's training."""
    finetuning: tuple[dict[str, float], ...]
    """One object per epoch of the chosen network's training."""
    int8_training: tuple[dict[str, float], ...]
    """One object per epoch of its training for int8; empty where plain quantisation was good enough."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """How many seconds `edgewidth run` spent on each stage in this folder, all tries together, in the order of the
    stages: `compare`, `profile`, `train`, `rivals`, `search`, `judge`, `finetune`, `export`, `validate`. Its start and
    the writing of the report are not among them. Empty where the stages were done by other verbs."""
    device: DeviceReport | None
    variant_estimate: LatencyEstimate | None
    """The chosen configuration's measurement as a variant, before it was trained."""
    visits: tuple[Visit, ...]
    """The raw times of the emitted file, with the device's state around each visit."""
    warnings: tuple[MeasurementWarning, ...]
    reproduce: Reproduce | None

    @property
    def clock(self) -> Clock:
        """What a nanosecond of the device's latencies is."""
        if self.device:
            return self.device.setting.clock
        return self.search.clock if self.search else Clock.WALL

    @property
    def words(self) -> Words:
        """What the device's latencies are called."""
        return self.clock.words

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        del version
        name_accuracies(content)
        if content["reproduce"]:
            name_splits(content["reproduce"]["data"])
        name_visits(content, content["measured"], content["variant_estimate"])
        if content["device"]:
            setting = content["device"]["setting"]
            name_engine(setting, setting["runtime_version"])
        if content["search"]:
            name_visits(*(step["measured"] for step in content["search"]["refinement"]))
        return content
