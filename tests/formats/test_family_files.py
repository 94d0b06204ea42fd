"""Every family's files compute what torch computes, at all widths: all families side by side in one network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.inspect import run_model
from edgewidth.formats.registry import FORMATS
from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.graph.operators import Concatenate
from edgewidth.graph.space import SearchSpace
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.training.networks.inference import FoldedTensors, folded_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig

CLASSES = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


def renamed(value: Any, prefix: str) -> Any:
    """A node's or a variable's JSON with the names of layers and width variables after a prefix."""
    if isinstance(value, dict):
        kept = {"op", "activation", "affine", "padding"}
        return {key: one if key in kept else renamed(one, prefix) for key, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, prefix) for one in value]
    return f"{prefix}_{value}" if isinstance(value, str) and value != INPUT else value


def all_families() -> SearchSpace:
    """Narrow networks of all families that read the same images; the outputs are their logits in a row."""
    nodes, variables = [], []
    for family in FAMILIES:
        space = search_space(
            family, resolution=32, in_channels=3, num_classes=CLASSES, min_width=0.1, max_width=0.25, divisor=4
        )
        content = renamed(space.model_dump(mode="json", exclude_defaults=True), family)
        nodes += content["network"]["nodes"]
        variables += content["variables"]
    ends = tuple(f"{family}_logits" for family in FAMILIES)
    nodes.append(Node(name="ends", operator=Concatenate(), inputs=ends).model_dump(mode="json"))
    fields = {"family": "families", "resolution": 32, "in_channels": 3, "nodes": nodes}
    return SearchSpace.model_validate({"network": NetworkSpec.model_validate(fields), "variables": variables})


SPACE = all_families()
WEIGHTS = random_weights(SPACE.network, SPACE.widths(SPACE.largest), seed=1)


def by_family(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(images, families, classes)."""
    return logits.reshape(len(IMAGES), len(FAMILIES), CLASSES)


def expected(config: ChannelConfig) -> NDArray[np.float32]:
    """What torch computes."""
    weights = slice_weights(SPACE, config, WEIGHTS)
    tensors = {name: FoldedTensors(*map(torch.from_numpy, layer)) for name, layer in weights.items()}
    return by_family(folded_outputs(SPACE.network, SPACE.widths(config), tensors, torch.from_numpy(IMAGES)).numpy())


@pytest.mark.parametrize("name", FORMATS, ids=list(FORMATS))
def test_files_compute_what_torch_computes(name: FormatName) -> None:
    """In float32, cut from one file; relative to the spread of a family's logits."""
    whole = Conversion(SPACE.network, SPACE.widths(SPACE.largest), WEIGHTS, [Precision.FLOAT32])
    files = FORMATS[name].convert(whole)
    layout = FORMATS[name].layout(files[Precision.FLOAT32], whole)
    for config in (SPACE.largest, SPACE.smallest, SPACE.sample(np.random.default_rng(2))):
        logits = expected(config)
        found = by_family(run_model(layout.write(SPACE.widths(config)), IMAGES))
        errors = np.abs(found - logits).max((0, 2)) / logits.std((0, 2))
        assert {family: error for family, error in zip(FAMILIES, errors, strict=True) if error > 1e-4} == {}
