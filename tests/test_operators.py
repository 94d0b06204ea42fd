"""Every operator stands in every table, and what the tables make of it agrees."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from formats.test_variants_onnx import run as run_onnx
from formats.test_variants_tflite import run as run_tflite
from support import require

from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.onnx import network as onnx_network
from edgewidth.formats.onnx import slices as onnx_slices
from edgewidth.formats.registry import FORMATS
from edgewidth.formats.tflite import slices as tflite_slices
from edgewidth.graph.operators import OPERATORS, Add, Concatenate, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.graph.widths import total
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.records.weights import FoldedLayer
from edgewidth.training.networks import operators as torch_operators
from edgewidth.training.networks.inference import FoldedTensors, run_folded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgewidth.graph.operators.operator import Activation, Operator
    from edgewidth.records.weights import FoldedWeights

SIZE, CHANNELS = 11, 3
IMAGES = np.random.default_rng(1).uniform(-1, 1, (2, SIZE, SIZE, CHANNELS)).astype(np.float32)
CHOICES = (2, 3, 5)
CASES_EACH = 4


def tables() -> dict[str, Any]:
    require(find_spec("tensorflow"), "tensorflow")
    from edgewidth.formats.tflite import keras_network

    return {
        "torch": torch_operators,
        "Keras": keras_network,
        "ONNX": onnx_network,
        "slices of TFLite": tflite_slices,
        "slices of ONNX": onnx_slices,
    }


def test_every_table_has_every_operator() -> None:
    """And no other."""
    for name, table in tables().items():
        assert table.OPERATORS.keys() == OPERATORS, name


def test_every_table_has_every_activation() -> None:
    """Those tables that have activations of their own."""
    named = set(torch_operators.ACTIVATIONS)
    assert named == set(tables()["Keras"].ACTIVATIONS) == {"none", *onnx_network.ACTIVATIONS}


class Branches:
    """Random networks side by side: each ends in a vector, and the output is all of these, one after another."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Node] = []
        self.variables: list[WidthVariable] = []
        self.ends: list[str] = []

    def add(self, operator: Operator, *inputs: str) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node.model_validate({"name": name, "operator": operator, "inputs": inputs}))
        return name

    def width(self) -> str:
        name = f"w{len(self.variables)}"
        self.variables.append(WidthVariable(name=name, base=CHOICES[0], choices=CHOICES))
        return name

    def activation(self) -> Activation:
        return "relu6" if self.rng.random() < 0.5 else "none"

    def conv(self, source: str, width: int | str | None = None, **attributes: Any) -> str:
        kernel, stride = (tuple(map(int, self.rng.integers(1, high, 2))) for high in (6, 4))
        options = {"kernel": kernel, "stride": stride, "activation": self.activation()} | attributes
        return self.add(Conv(width=width or self.width(), **options), source)

    def pooled(self, source: str) -> None:
        self.ends.append(self.add(GlobalAveragePool(), source))

    def space(self) -> SearchSpace:
        """The space of all branches; a last layer passes on what they end in."""
        last = self.add(Concatenate(), *self.ends)
        widest = {variable.name: variable.choices[-1] for variable in self.variables}
        count = total(self.network(last, 1).layers[-1].reads[0].channels, widest)
        return SearchSpace(network=self.network(last, count), variables=tuple(self.variables))

    def network(self, last: str, outputs: int) -> NetworkSpec:
        nodes = (*self.nodes, Node(name="logits", operator=Dense(width=outputs), inputs=(last,)))
        return NetworkSpec(family="branches", resolution=SIZE, in_channels=CHANNELS, nodes=nodes)


def conv_case(made: Branches) -> None:
    made.pooled(made.conv(INPUT))


def depthwise_case(made: Branches) -> None:
    # Keras has depthwise convolutions of square strides alone.
    kernel, stride = tuple(map(int, made.rng.integers(1, 6, 2))), int(made.rng.integers(1, 4))
    operator = Depthwise(kernel=kernel, stride=(stride, stride), activation=made.activation())
    made.pooled(made.add(operator, made.conv(INPUT, stride=1)))


def dense_case(made: Branches) -> None:
    vector = made.add(GlobalAveragePool(), made.conv(INPUT))
    made.ends.append(made.add(Dense(width=made.width(), activation=made.activation()), vector))


def add_case(made: Branches) -> None:
    width, stride = made.width(), int(made.rng.integers(1, 4))
    inputs = [made.conv(INPUT, width, stride=stride) for _ in range(2)]
    made.pooled(made.add(Add(activation=made.activation()), *inputs))


def concatenate_case(made: Branches) -> None:
    """Read by a convolution and by a depthwise one, which are cut in its segments."""
    stride = int(made.rng.integers(1, 4))
    inputs = [made.conv(INPUT, stride=stride) for _ in range(int(made.rng.integers(1, 4)))]
    inputs.insert(int(made.rng.integers(0, 2)), made.conv(INPUT, width=4, stride=stride))
    joined = made.add(Concatenate(activation=made.activation()), *inputs)
    made.pooled(made.conv(joined))
    made.pooled(made.add(Depthwise(kernel=3), joined))


def pool_case(made: Branches) -> None:
    made.ends.append(made.add(GlobalAveragePool(activation=made.activation()), made.conv(INPUT)))


CASES: dict[type[Operator], Callable[[Branches], None]] = {
    Conv: conv_case,
    Depthwise: depthwise_case,
    Dense: dense_case,
    Add: add_case,
    Concatenate: concatenate_case,
    GlobalAveragePool: pool_case,
}


def torch_outputs(space: SearchSpace, config: ChannelConfig, weights: FoldedWeights) -> NDArray[np.float32]:
    cut = {
        name: FoldedTensors(*(torch.from_numpy(array.copy()) for array in one))
        for name, one in slice_weights(space, config, weights).items()
    }
    found: NDArray[np.float32] = run_folded(space.network, cut, torch.from_numpy(IMAGES).permute(0, 3, 1, 2)).numpy()
    return found


RUN: dict[FormatName, Callable[[bytes], NDArray[np.float32]]] = {
    FormatName.TFLITE: lambda content: run_tflite(content, IMAGES),
    FormatName.ONNX: lambda content: run_onnx(content, IMAGES.transpose(0, 3, 1, 2)),
}


def test_the_tables_agree() -> None:
    """On random attributes, converted at the maximum widths and cut to others, value by value."""
    require(find_spec("tensorflow"), "tensorflow")
    assert CASES.keys() == OPERATORS
    made = Branches(np.random.default_rng(0))
    for case in CASES.values():
        for _ in range(CASES_EACH):
            case(made)
    space = made.space()
    widest = space.widths(space.largest)
    weights = random_weights(space.network, widest, seed=0)
    # The last layer passes every number on, so that none hides behind another.
    weights["logits"] = FoldedLayer(np.eye(space.network.outputs, dtype=np.float32), weights["logits"].bias)
    whole = Conversion(space.network, widest, weights, [Precision.FLOAT32])
    for name, one in FORMATS.items():
        content = one.convert(whole)[Precision.FLOAT32]
        layout = one.layout(content, whole)
        for config in (space.largest, space.sample(made.rng), space.smallest):
            found = RUN[name](layout.write(space.widths(config)))
            np.testing.assert_allclose(found, torch_outputs(space, config, weights), atol=1e-4)
