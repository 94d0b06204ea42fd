"""The files of a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewidth.records.artifact import model_name
from edgewidth.records.measurement import FormatName, Precision


class _File:
    """A file of a run folder, by its name there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RunFolder, kind: type[RunFolder]) -> Path:
        return folder.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """Where each stage puts its file and the next one finds it."""

    path: Path

    run = _File("run.json")
    """What was asked."""
    measurements = _File("measurements.sqlite")
    """Every raw measurement."""
    table = _File("table.json")
    """The latency table."""
    comparison = _File("comparison.json")
    """What runtimes, precisions and thread counts came to, where that was asked for."""
    prior = _File("prior.json")
    """Another device's or precision's table that this one's learned from; most runs have none."""
    supernet = _File("supernet.safetensors")
    """The supernet's weights."""
    given = _File("given.safetensors")
    """The weights that the network brought, for pixels as every network here takes them."""
    trained = _File("trained.safetensors")
    """The network that a supernet began with, on the images at hand, its channels in order; most runs have none."""
    trained_log = _File("trained.jsonl")
    """One JSON line per epoch of that network's training."""
    losses = _File("losses.json")
    """The unary losses."""
    training_log = _File("training.jsonl")
    """One JSON line per epoch of the supernet's training."""
    search = _File("search.json")
    """The chosen configuration and the frontier."""
    judged = _File("judged.json")
    """The choice and the baselines' on images that the search has not seen."""
    weights = _File("weights.safetensors")
    """The chosen network's trained weights."""
    finetune_log = _File("finetune.jsonl")
    """One JSON line per epoch of the final training."""
    weights_int8 = _File("weights_int8.safetensors")
    """The weights after training for int8; there only if that was needed and an int8 file is made of them."""
    int8_log = _File("int8.jsonl")
    """One JSON line per epoch of training for int8."""
    artifacts = _File("artifacts.json")
    """What was exported and how well each file computes."""
    validation = _File("validation.json")
    """The emitted artifact's own measurement on the device."""
    report_json = _File("report.json")
    """The report for programs."""
    report_html = _File("report.html")
    """The report for people."""
    times = _File("times.jsonl")
    """One JSON line for every time that a run was at a stage: its name, and the seconds that it took."""
    checkpoints = _File("checkpoints")
    """The states from which an interrupted training goes on."""
    evaluations = _File("checkpoints/evaluations.jsonl")
    """The losses of configurations, from where an interrupted evaluation goes on."""

    rival_scores = _File("checkpoints/rivals.jsonl")
    """What rivals scored, from where an interrupted loop goes on."""

    def model(self, precision: Precision, format_name: FormatName) -> Path:
        """An exported artifact."""
        return self.path / model_name(precision, format_name)

    compiled = _File("model_int8_vela.tflite")
    """The emitted file as an Ethos-U runs it, compiled by Vela; most runs have none."""

    @property
    def models(self) -> tuple[Path, ...]:
        """Every artifact that there may be."""
        return tuple(self.model(precision, name) for precision in Precision for name in FormatName)

    @property
    def companions(self) -> tuple[Path, ...]:
        """Every file that there may be beside the artifacts, whatever the task."""
        from edgewidth.tasks.registry import COMPANIONS  # noqa: PLC0415  numpy loads when it is needed

        return tuple(self.path / name for name in COMPANIONS)
