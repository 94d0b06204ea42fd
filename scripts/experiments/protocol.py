"""What the experiment compares, fixed and written down before anything final is trained."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from edgewidth.data.split import load_images
from edgewidth.documents import Document
from edgewidth.errors import MismatchError
from edgewidth.graph.families.registry import search_space
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.target import make_target
from edgewidth.training.recipes import Phase, Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.stages.target import Target

METHODS = ("uniform", "greedy", "lagrangian", "exact", "narrowed")
"""One width multiplier; greedy slimming on the supernet; the published method's search; the exact search; the exact
search in a supernet that was trained for the budget."""
COMPARED = ("uniform", "greedy", "exact", "narrowed")
"""Those that are compared unless told otherwise: with a fine table the Lagrangian's choice is the exact one or next
to it."""

RECIPE = Recipe(
    name="experiment",
    supernet=Phase(images=0, passes=12, batch=128),
    finetune=Phase(images=0, passes=10, batch=128, label_smoothing=0.1, averaging=0.05),
    evaluations=260,
)
"""Every final network is trained from random weights, as the published methods do it: none owes anything to a
supernet. Evaluations are for all budgets together, at most a sixth of what greedy slimming takes."""


class Protocol(Document):
    """The experiment's ``protocol.json``."""

    schema_name: ClassVar[str] = "edgewidth/equal-latency"

    name: str
    """Of the data, as results call it."""
    data: str
    data_fingerprint: str
    images: tuple[int, int, int, int]
    """How many train, search, judge and test."""
    device: str
    resolution: int
    min_width: float
    max_width: float
    levels: int
    budgets: tuple[float, ...]
    """Width multipliers: the budgets are the latencies that their uniform networks are measured at."""
    twice: tuple[float, ...]
    """The budgets at which the choices are repeated with a second supernet."""
    seeds: tuple[int, ...]
    """Of the final trainings."""
    recipe: str
    methods: tuple[str, ...] = COMPARED


class Final(NamedTuple):
    """One final training."""

    method: str
    budget: float
    supernet: int
    """The seed of the supernet that chose; the uniform network needs none and has 0."""
    seed: int

    @property
    def choice(self) -> str:
        """What its choice is called."""
        return f"{self.method}-{self.budget:g}-{self.supernet}"

    def __str__(self) -> str:
        return f"{self.choice}-{self.seed}"


@dataclass(frozen=True)
class Experiment:
    """A protocol and the folder that everything is kept in."""

    protocol: Protocol
    folder: Path

    @classmethod
    def open(cls, folder: Path) -> Experiment:
        """The experiment of a folder.

        Raises:
            FileError: It has none.
        """
        return cls(Protocol.read(folder / "protocol.json"), folder)

    @classmethod
    def begin(cls, folder: Path, protocol: Protocol) -> Experiment:
        """Write a protocol, or go on with the same one.

        Raises:
            MismatchError: The folder holds another one.
        """
        path = folder / "protocol.json"
        if path.exists() and Protocol.read(path) != protocol:
            raise MismatchError(f"{path} describes another experiment.", remedy="Choose another --folder.")
        folder.mkdir(parents=True, exist_ok=True)
        protocol.write(path)
        return cls(protocol, folder)

    @cached_property
    def space(self) -> SearchSpace:
        """The search space."""
        return search_space_of(self.data, self.protocol)

    @cached_property
    def data(self) -> ImageData:
        """The images.

        Raises:
            MismatchError: They are not those of the protocol.
        """
        data = load_images(self.protocol.data, resolution=self.protocol.resolution, seed=0)
        if data.fingerprint != self.protocol.data_fingerprint:
            raise MismatchError(f"{self.protocol.data} is not what the experiment began with.")
        return data

    @property
    def target(self) -> Target:
        """The device and how it is measured."""
        return make_target(self.protocol.device)

    @property
    def device(self) -> RunFolder:
        """Where measurements and the latency table are."""
        return RunFolder(self.folder / "device")

    @property
    def budgets(self) -> Path:
        """The file with the measured latencies of the uniform networks that are the budgets."""
        return self.folder / "budgets.json"

    def budget_ms(self, budget: float) -> float:
        """The latency that must not be exceeded."""
        measured = json.loads(self.budgets.read_text(encoding="utf-8"))
        return float(measured[f"{budget:g}"]["value_ms"])

    def supernet(self, seed: int) -> RunFolder:
        """A supernet trained with widths drawn uniformly."""
        return RunFolder(self.folder / f"supernet-{seed}")

    def narrowed(self, seed: int, budget: float) -> RunFolder:
        """A supernet trained for one budget."""
        return RunFolder(self.folder / f"supernet-{seed}-{budget:g}")

    def final(self, final: Final) -> RunFolder:
        """A final training."""
        return RunFolder(self.folder / "finals" / str(final))

    def choice(self, final: Final) -> Path:
        """The file of what was chosen for it."""
        return self.folder / "choices" / f"{final.choice}.json"

    @property
    def supernets(self) -> list[tuple[int, float]]:
        """Which supernet chooses for which budget: the first for all, the second for some."""
        protocol = self.protocol
        return [(0, budget) for budget in protocol.budgets] + [(1, budget) for budget in protocol.twice]

    @property
    def finals(self) -> list[Final]:
        """All final trainings, the seeds in turn, so that an unfinished experiment is even."""
        return [
            Final(method, budget, supernet, seed)
            for seed in self.protocol.seeds
            for supernet, budget in self.supernets
            for method in self.protocol.methods
            if supernet == 0 or method != "uniform"
        ]


def search_space_of(data: ImageData, protocol: Protocol) -> SearchSpace:
    """MobileNet-v1 for these images, at the protocol's width multipliers."""
    return search_space(
        "mobilenet_v1",
        resolution=data.resolution,
        in_channels=data.in_channels,
        num_classes=len(data.task.output_names),
        min_width=protocol.min_width,
        max_width=protocol.max_width,
        levels=protocol.levels,
    )


def recipe_text() -> str:
    """The recipe as the protocol records it; everything begins with random weights."""
    return repr({name: value for name, value in asdict(RECIPE).items() if name != "trained"})
