"""What was asked of a run: enough to do it again."""

from __future__ import annotations

from typing import Any, ClassVar

from edgewidth.documents import Document, Record
from edgewidth.graph.space import SearchSpace
from edgewidth.records.artifact import MAX_INT8_DROP_POINTS
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.measurement import Accelerator, EngineName, Precision, Statistic
from edgewidth.records.provenance import Digest, Facts
from edgewidth.records.upgrades import name_splits


class DataFacts(Record):
    """Which images a run uses."""

    source: str
    """As given: ``digits``, or a path."""
    fingerprint: str
    """The fingerprint of the decoded images and their targets."""
    task: str = "classification"
    """What a network learns of them."""
    class_names: tuple[str, ...]
    """The names of the network's outputs, in order."""
    train: int
    """How many images train."""
    search: int
    """Images kept out of training, on which the search compares configurations."""
    holdout: int
    """Images kept out of training and search, on which what the methods found is compared."""
    test: int
    """The source's own test or validation images; accuracies of emitted files are of these."""
    untested: tuple[str, ...] = ()
    """The outputs that no test image has, so that accuracies say nothing of them."""

    @property
    def untested_text(self) -> str | None:
        """That accuracies are not over all outputs, in a sentence; None: they are."""
        if not self.untested:
            return None
        there, outputs = len(self.untested), len(self.class_names)
        names = ", ".join(self.untested[:5]) + (f" and {there - 5} more" if there > 5 else "")
        has = "has" if there == 1 else "have"
        return f"{names} {has} no test images: accuracies are over {outputs - there} of {outputs}."


class Narrowing(Record):
    """How the range of widths narrows about a budget while a supernet is trained."""

    begin: float = 0.4
    """The share of training after which it does."""
    last_temperature: float = 0.1
    """How narrow it becomes: of the last field that widths are drawn from, in standard deviations of the loss."""


class RunRequest(Document):
    """The run folder's ``run.json``."""

    schema_name: ClassVar[str] = "edgewidth/run"
    schema_version: ClassVar[int] = 2

    space: SearchSpace
    data: DataFacts
    device: str
    runtime: EngineName
    accelerator: Accelerator = Accelerator.CPU
    precision: Precision
    threads: int
    budget: BudgetRequest
    statistic: Statistic
    recipe: str
    narrowing: Narrowing | None = None
    """How the supernet is trained for this device and budget; None: for any."""
    rivals: float | None = None
    """What brief trainings of rivals cost at most, as a share of the final training; 0: there are none. None: of a
    version that knew of none."""
    max_int8_drop_points: float = MAX_INT8_DROP_POINTS
    """More accuracy than this is not to be lost by quantisation."""
    seed: int
    command: str
    """The command line, or the call in Python, that does it again."""
    versions: dict[str, str]
    """The versions of edgewidth and of the packages that change results."""

    @property
    def made_of(self) -> Facts:
        """What makes two requests the same run; the command's wording and package versions may differ."""
        source = self.data.source
        images = Digest(self.data.fingerprint, source, f"the images of {source} have changed")
        own = {name: value for name, value in self if name not in {"command", "versions"}} | {"data": images}
        if self.rivals is None:
            del own["rivals"]
        return own

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        del version
        name_splits(content["data"])
        return content
