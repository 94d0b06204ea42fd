"""What the experiment compares, fixed and written down before anything final is trained."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from edgewidth.data.split import load_images
from edgewidth.documents import Document, Record
from edgewidth.errors import MismatchError
from edgewidth.graph.costs import costs
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.budget import Budget
from edgewidth.records.measurement import LatencyEstimate
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.target import make_target
from edgewidth.training.recipes import Phase, Recipe

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.stages.target import Target

CUT = "cut"
METHODS = ("uniform", CUT, "published", "greedy", "lagrangian", "exact", "corrected", "narrowed", "narrowed-corrected")
"""One width multiplier; the same, of given weights cut by importance and trained on without a supernet; greedy slimming
as it was published, and per millisecond, filled back; AOWS's search of the losses; the exact search of them; the same
once rivals have corrected them; both in a supernet that was trained for the budget."""
COMPARED = ("uniform", "published", "greedy", "exact", "corrected")
"""Those that are compared unless told otherwise: with a fine table the Lagrangian's choice is the exact one or next
to it, every narrowed supernet is another training, and only given weights can be cut."""
DRAWS = 256
"""So many configurations tell how large one is on average."""
LOOKED_AT = 1 / 3
"""What an image that is only looked at takes of what training on it does, where the way back is twice the way there."""
RIVALS = 0.5
"""What rivals may cost as a share of the final training, which is as much longer for methods that have none."""

RECIPE = Recipe(
    name="experiment",
    supernet=Phase(images=0, passes=12, batch=128),
    finetune=Phase(images=0, passes=0, batch=128, label_smoothing=0.1, averaging=0.05),
    evaluations=260,
)
"""As a user's run has it, but for its length, which the protocol says; a supernet that begins with given weights is
trained as the recipe ``standard`` trains it. Every final network begins with the weights of the supernet that chose it,
unless they are cut. Evaluations are for all budgets together."""


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
    """Shares of the latency of the largest network. The budget itself is the measured latency of the uniform network
    whose predicted latency is nearest to that share: so that the uniform networks, too, use all of it."""
    supernets: int
    """Each of them chooses for every budget."""
    seeds: tuple[int, ...]
    """Of the final trainings."""
    passes: int
    """Of the final training of a method that trains rivals; the others' is longer by what these may cost."""
    recipe: str
    methods: tuple[str, ...] = COMPARED
    network: str = "mobilenet_v1"
    """The family whose channels are searched."""
    weights: str | None = None
    """A file of trained weights of that network, with which every supernet begins; None: random ones."""
    first_images: int | None = None
    """How many of the training images of the data are used, the first; None: all."""

    @property
    def anywhere(self) -> Protocol:
        """The same with the names of its files alone, wherever a machine has them."""
        weights = Path(self.weights).name if self.weights else None
        return self.model_copy(update={"data": Path(self.data).name, "weights": weights})

    @property
    def finals(self) -> list[Final]:
        """All final trainings, supernets and seeds in turn, so that an unfinished experiment is even."""
        return [
            Final(method, budget, supernet, seed)
            for seed in self.seeds
            for supernet in range(self.supernets)
            for budget in self.budgets
            for method in self.methods
        ]


class Uniform(Record):
    """A uniform network and its measured latency, which is a budget."""

    config: ChannelConfig
    measured: LatencyEstimate


class Uniforms(Document):
    """The experiment's ``budgets.json``: in the protocol's order, and the largest network that they are shares of."""

    schema_name: ClassVar[str] = "edgewidth/equal-latency-budgets"

    largest: LatencyEstimate
    uniforms: tuple[Uniform, ...]


class Final(NamedTuple):
    """One final training."""

    method: str
    budget: float
    supernet: int
    """The seed of the supernet that chose, and whose weights it begins with."""
    seed: int

    @property
    def choice(self) -> str:
        """What its choice is called."""
        return f"{self.method}-{self.budget:g}-{self.supernet}"

    @property
    def narrows(self) -> bool:
        """Whether its supernet was trained for the budget."""
        return self.method.startswith("narrowed")

    @property
    def learns(self) -> bool:
        """Whether rivals correct its losses."""
        return self.method.endswith("corrected")

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
        protocol = self.protocol
        data = load_data(protocol.data, resolution=protocol.resolution, first_images=protocol.first_images)
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
        """The file with the uniform networks whose measured latencies are the budgets."""
        return self.folder / "budgets.json"

    def uniform(self, budget: float) -> Uniform:
        """The uniform network whose measured latency is the budget."""
        return Uniforms.read(self.budgets).uniforms[self.protocol.budgets.index(budget)]

    def budget(self, budget: float) -> Budget:
        """The latency that must not be exceeded."""
        measured = self.uniform(budget).measured
        return Budget(latency_ms=measured.value_ms, statistic=measured.statistic)

    def supernet(self, final: Final) -> RunFolder:
        """The supernet that chooses, and its losses: one for all budgets, or one that was trained for its own."""
        budget = f"-{final.budget:g}" if final.narrows else ""
        return RunFolder(self.folder / f"supernet-{final.supernet}{budget}")

    def corrected(self, final: Final) -> RunFolder:
        """The same supernet with the losses that rivals at the budget corrected."""
        return RunFolder(self.folder / "rivals" / final.choice)

    def choice(self, final: Final) -> Path:
        """The file of what was chosen for it."""
        return self.folder / "choices" / f"{final.choice}.json"

    def passes(self, final: Final, config: ChannelConfig) -> int:
        """How often its final training uses every image: what the others spend on rivals is given to it.

        Weights that are cut need no supernet, whose training is given to them as well: every image twice, at full width
        and at a random one. And so is what the supernet's largest network costs that teaches the others: it only looks
        at images, a third of what training on them takes. All this is counted in multiply-accumulates.
        """
        if final.learns:
            return self.protocol.passes
        longer = round(self.protocol.passes * (1 + RIVALS))
        if final.method != CUT:
            return longer
        space, rng = self.space, np.random.default_rng(0)
        at_random = np.mean([costs(space, space.sample(rng)).macs for _ in range(DRAWS)])
        phases, (whole, own) = RECIPE.phases(trained=True), (costs(space, one).macs for one in (space.largest, config))
        training = phases.supernet.epochs(len(self.data.train)) * (whole + at_random)
        teaching = longer * whole * LOOKED_AT if phases.finetune.distillation else 0.0
        return longer + round((training + teaching) / own)

    def recipe(self, passes: int) -> Recipe:
        """The recipe with so many passes of final training, from trained weights or random ones."""
        finetune = replace(RECIPE.finetune, passes=passes)
        from_trained = replace(RECIPE.trained.finetune, images=0, passes=passes)
        return replace(RECIPE, finetune=finetune, trained=replace(RECIPE.trained, finetune=from_trained))

    def network(self, final: Final, config: ChannelConfig) -> RunFolder:
        """Where it is trained; methods that chose alike, and train as long from the same weights, have one network."""
        digest = hashlib.sha256(str(config).encode()).hexdigest()[:8]
        of = CUT if final.method == CUT else "supernet"
        of = self.supernet(final).path.name.replace("supernet", of)
        return RunFolder(self.folder / "networks" / f"{of}-{digest}-{self.passes(final, config)}-{final.seed}")


def load_data(source: str, *, resolution: int | None, first_images: int | None) -> ImageData:
    """The images, or only the first of those that train, of an .npz with ``x_train`` and ``y_train``."""
    if first_images is None:
        return load_images(source, resolution=resolution, seed=0)
    with np.load(source, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for name in ("x_train", "y_train"):
        arrays[name] = arrays[name][:first_images]
    return load_images(arrays, resolution=resolution, seed=0)


def search_space_of(data: ImageData, protocol: Protocol) -> SearchSpace:
    """The network for these images, at the protocol's width multipliers."""
    return search_space(
        protocol.network,
        resolution=data.resolution,
        in_channels=data.in_channels,
        num_classes=len(data.task.output_names),
        min_width=protocol.min_width,
        max_width=protocol.max_width,
        levels=protocol.levels,
    )


def recipe_text(*, trained: bool) -> str:
    """The recipe as the protocol records it, for supernets that begin with trained weights or random ones."""
    values = asdict(RECIPE) | {"rivals": RIVALS}
    from_trained = values.pop("trained")
    return repr(values | {"trained": from_trained} if trained else values)
