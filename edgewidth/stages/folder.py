"""The files of a run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgewidth.records.artifact import LABELS, model_name
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from pathlib import Path


class RunFolder(NamedTuple):
    """Where each stage puts its file and the next one finds it."""

    path: Path

    @property
    def run(self) -> Path:
        """What was asked."""
        return self.path / "run.json"

    @property
    def measurements(self) -> Path:
        """Every raw measurement."""
        return self.path / "measurements.sqlite"

    @property
    def table(self) -> Path:
        """The latency table."""
        return self.path / "table.json"

    @property
    def comparison(self) -> Path:
        """What runtimes, precisions and thread counts came to, where that was asked for."""
        return self.path / "comparison.json"

    @property
    def prior(self) -> Path:
        """Another device's or precision's table that this one's learned from; most runs have none."""
        return self.path / "prior.json"

    @property
    def supernet(self) -> Path:
        """The supernet's weights."""
        return self.path / "supernet.safetensors"

    @property
    def given(self) -> Path:
        """The weights that the network brought, for pixels as every network here takes them."""
        return self.path / "given.safetensors"

    @property
    def trained(self) -> Path:
        """The network that a supernet began with, on the images at hand, its channels in order; most runs have none."""
        return self.path / "trained.safetensors"

    @property
    def trained_log(self) -> Path:
        """One JSON line per epoch of that network's training."""
        return self.path / "trained.jsonl"

    @property
    def losses(self) -> Path:
        """The unary losses."""
        return self.path / "losses.json"

    @property
    def training_log(self) -> Path:
        """One JSON line per epoch of the supernet's training."""
        return self.path / "training.jsonl"

    @property
    def search(self) -> Path:
        """The chosen configuration and the frontier."""
        return self.path / "search.json"

    @property
    def judged(self) -> Path:
        """The choice and the baselines' on images that the search has not seen."""
        return self.path / "judged.json"

    @property
    def weights(self) -> Path:
        """The chosen network's trained weights."""
        return self.path / "weights.safetensors"

    @property
    def finetune_log(self) -> Path:
        """One JSON line per epoch of the final training."""
        return self.path / "finetune.jsonl"

    @property
    def weights_int8(self) -> Path:
        """The weights after training for int8; there only if that was needed and an int8 file is made of them."""
        return self.path / "weights_int8.safetensors"

    @property
    def int8_log(self) -> Path:
        """One JSON line per epoch of training for int8."""
        return self.path / "int8.jsonl"

    @property
    def labels(self) -> Path:
        """The class names, one a line."""
        return self.path / LABELS

    @property
    def artifacts(self) -> Path:
        """What was exported and how well each file computes."""
        return self.path / "artifacts.json"

    @property
    def validation(self) -> Path:
        """The emitted artifact's own measurement on the device."""
        return self.path / "validation.json"

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.path / "report.json"

    @property
    def report_html(self) -> Path:
        """The report for people."""
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        """From where an interrupted training goes on."""
        return self.path / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """The losses of configurations, from where an interrupted evaluation goes on."""
        return self.checkpoints / "evaluations.jsonl"

    def model(self, precision: Precision, format_name: FormatName) -> Path:
        """An exported artifact."""
        return self.path / model_name(precision, format_name)

    @property
    def results(self) -> tuple[Path, ...]:
        """Everything that stages write and can write again; the raw measurements are not among it."""
        models = [self.model(precision, name) for precision in Precision for name in FormatName]
        single = (
            self.run,
            self.prior,
            self.table,
            self.trained,
            self.trained_log,
            self.supernet,
            self.losses,
            self.training_log,
            self.search,
            self.judged,
            self.weights,
        )
        int8 = (self.weights_int8, self.int8_log)
        last = (self.finetune_log, self.labels, self.artifacts, self.validation, self.report_json, self.report_html)
        return (*single, *int8, *last, *models, self.checkpoints)
