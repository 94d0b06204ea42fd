"""In int8 an activation reads finely what it tells apart, however far what comes before it reaches beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from scipy.special import ndtr

from edgewidth.formats.conversion import Conversion
from edgewidth.formats.inspect import run_model
from edgewidth.formats.registry import FORMATS
from edgewidth.graph.operators import Conv, Dense, Multiply
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.records.weights import FoldedLayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgewidth.graph.operators.activation import Plain

SIDE = 16
FEATURES: NDArray[np.float32] = (np.arange(SIDE * SIDE) / 255).astype(np.float32).reshape(1, SIDE, SIDE, 1)
"""All that int8 tells apart between 0 and 1."""
FACTOR, SUMMAND = 106.0, -100.0
"""What a convolution makes of them reaches from -100 to 6: a 256th of that is 0.41."""


def sigmoid(x: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(x / 2)


def files(nodes: list[Node], precision: Precision, name: FormatName) -> bytes:
    """A network of these nodes, and a dense layer that gives what they make as it is."""
    nodes.append(Node(name="logits", operator=Dense(width=SIDE * SIDE), inputs=(nodes[-1].name,)))
    spec = NetworkSpec(family="reach", resolution=SIDE, in_channels=1, nodes=tuple(nodes))
    weights = {
        name: FoldedLayer(np.full((1, 1, 1, 1), factor, np.float32), np.full(1, summand, np.float32))
        for name, (factor, summand) in {"stem": (FACTOR, SUMMAND), "gate": (0.01, 3.0)}.items()
    }
    whole = np.eye(SIDE * SIDE, dtype=np.float32).reshape(-1, 1, SIDE, SIDE)
    weights["logits"] = FoldedLayer(whole, np.zeros(SIDE * SIDE, np.float32))
    return FORMATS[name].convert(Conversion(spec, {}, weights, [precision], FEATURES))[precision]


@pytest.mark.parametrize("name", FORMATS, ids=list(FORMATS))
@pytest.mark.parametrize(
    ("activation", "compute", "tolerance"),
    [
        ("hard_swish", lambda x: x * np.clip(x + 3, 0, 6) / 6, 0.06),
        ("silu", lambda x: x * sigmoid(x), 0.08),
        ("sigmoid", sigmoid, 0.012),
        ("tanh", np.tanh, 0.024),
        ("gelu", lambda x: x * ndtr(x), 0.08),
        ("hard_sigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, 0.012),
    ],
)
def test_int8_rounds_what_an_activation_reads_as_finely_as_it_tells_it_apart(
    activation: Plain, compute: Callable[[Any], Any], tolerance: float, name: FormatName
) -> None:
    """Against the function itself, within what the range that it tells apart leaves."""
    nodes = [Node(name="stem", operator=Conv(width=1, affine="bias", activation=activation), inputs=(INPUT,))]
    content = files(nodes, Precision.INT8, name)
    exact = compute(FACTOR * FEATURES.reshape(1, -1) + SUMMAND)
    assert np.abs(run_model(content, FEATURES) - exact).max() < tolerance
    if name is FormatName.ONNX:
        assert not {"Clip"} & {node.op_type for node in onnx.load_model_from_string(content).graph.node}


@pytest.mark.parametrize("name", FORMATS, ids=list(FORMATS))
def test_what_something_else_reads_keeps_its_range(name: FormatName) -> None:
    """Here a product with another sigmoid than its own, which is nearly one."""
    stem = Conv(width=1, affine="bias")
    nodes = [
        Node(name="stem", operator=stem, inputs=(INPUT,)),
        Node(name="gate", operator=Conv(width=1, affine="bias", activation="sigmoid"), inputs=("stem",)),
        Node(name="product", operator=Multiply(), inputs=("stem", "gate")),
    ]
    exact = run_model(files(list(nodes), Precision.FLOAT32, name), FEATURES)
    assert np.abs(run_model(files(list(nodes), Precision.INT8, name), FEATURES) - exact).max() < 1
