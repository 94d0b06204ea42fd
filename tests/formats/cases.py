"""Networks small enough to convert in a test, and what makes variants of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgewidth.data.sources import Split
from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.variants import SEED, VariantFactory
from edgewidth.graph.operators import Add, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.stages.artifacts import Int8Network, export_artifacts
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.parity import Truth
from edgewidth.tasks.classification.task import Classification

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edgewidth.records.artifact import Artifacts
    from edgewidth.records.weights import FoldedWeights

CLASS_NAMES = ("T-shirt", "größer", "日本", "d", "e")
TASK = Classification(CLASS_NAMES)

MakeFactory = Callable[[SearchSpace, Precision, FormatName], VariantFactory]


def residual_space() -> SearchSpace:
    """Two variables, one of them shared by a skip connection, and two layers whose kernels have the same shape."""
    nodes = (
        Node(name="stem", operator=Conv(width="a", kernel=3, stride=2, activation="relu6"), inputs=(INPUT,)),
        Node(name="first", operator=Conv(width="b", kernel=3, activation="relu6"), inputs=("stem",)),
        Node(name="second", operator=Conv(width="a", kernel=3), inputs=("first",)),
        Node(name="sum", operator=Add(activation="relu6"), inputs=("second", "stem")),
        Node(name="spread", operator=Depthwise(kernel=3, stride=2, activation="relu6"), inputs=("sum",)),
        Node(name="mix", operator=Conv(width="b", activation="relu6"), inputs=("spread",)),
        Node(name="pool", operator=GlobalAveragePool(), inputs=("mix",)),
        Node(name="logits", operator=Dense(width=5), inputs=("pool",)),
    )
    network = NetworkSpec(family="residual", resolution=32, in_channels=3, nodes=nodes)
    variables = (
        WidthVariable(name="a", base=16, choices=(4, 8, 12, 16)),
        WidthVariable(name="b", base=16, choices=(4, 8, 12, 16)),
    )
    return SearchSpace(network=network, variables=variables)


class Case(NamedTuple):
    """A space, the weights that its factories use, and one configuration inside it."""

    space: SearchSpace
    weights: FoldedWeights
    config: ChannelConfig


def make_case(space: SearchSpace, config: ChannelConfig) -> Case:
    weights = random_weights(space.network, space.widths(space.largest), seed=SEED)
    return Case(space, weights, config)


class Exported(NamedTuple):
    """Artifacts of a case's configuration, and what they were made of."""

    folder: RunFolder
    artifacts: Artifacts
    arguments: dict[str, Any]


def export_case(case: Case, folder: Path, **changes: Any) -> Exported:
    """The residual network's configuration exported with the leading part of the case's weights.

    The images have one colour and noise, so that the network answers with different classes.
    """
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 256, (150, 1, 1, 3)) + rng.integers(-60, 60, (150, 32, 32, 3))
    images = colours.clip(0, 255).astype(np.uint8)
    weights = slice_weights(case.space, case.config, case.weights)
    reference = torch_logits(weights, images)
    labels = reference.argmax(1)
    arguments: dict[str, Any] = {
        "space": case.space,
        "config": case.config,
        "weights": weights,
        "int8_weights": weights,
        "calibration": images[:50],
        "test": Truth(TASK, Split(images, labels), reference),
        "search": Truth(TASK, Split(images[:20], labels[:20]), reference[:20]),
        "max_int8_drop_points": 100.0,
        "train_int8": _needless,
        "precision": Precision.FLOAT16,
        "folder": RunFolder(folder),
    }
    arguments |= changes
    return Exported(RunFolder(folder), export_artifacts(**arguments), arguments)


def _needless() -> Int8Network:
    raise AssertionError("int8 costs nothing here that would be worth training")


def torch_logits(weights: FoldedWeights, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The residual network above in plain torch, written out by hand with its paddings."""
    import torch
    from torch.nn import functional

    w = {name: (torch.from_numpy(layer.kernel), torch.from_numpy(layer.bias)) for name, layer in weights.items()}
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    stem = functional.relu6(functional.conv2d(functional.pad(x, (0, 1, 0, 1)), *w["stem"], stride=2))
    first = functional.relu6(functional.conv2d(stem, *w["first"], padding=1))
    total = functional.relu6(functional.conv2d(first, *w["second"], padding=1) + stem)
    padded = functional.pad(total, (0, 1, 0, 1))
    spread = functional.relu6(functional.conv2d(padded, *w["spread"], stride=2, groups=total.shape[1]))
    mix = functional.relu6(functional.conv2d(spread, *w["mix"]))
    logits: NDArray[np.float32] = functional.linear(mix.mean((2, 3)), *w["logits"]).numpy()
    return logits
