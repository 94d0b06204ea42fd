"""Every operator and activation computes the same in torch, TFLite and ONNX, at all widths and in every precision."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from operator_network import ACTIVATIONS, OUTPUTS, SIZE, operator_space
from support import require

from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.inspect import run_model
from edgewidth.formats.onnx import nodes
from edgewidth.formats.registry import FORMATS
from edgewidth.graph.operators import OPERATORS
from edgewidth.graph.operators.activation import ACTIVATIONS as ALL_ACTIVATIONS
from edgewidth.graph.operators.activation import name_of
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.search.factors import Factor, total
from edgewidth.training.networks.inference import FoldedTensors, folded_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig

SEED = 1
SPACE = operator_space(SEED)
WEIGHTS = random_weights(SPACE.network, SPACE.widths(SPACE.largest), seed=2)
IMAGES = np.random.default_rng(3).integers(0, 256, (6, *SIZE, 2), np.uint8)
WHOLE = Conversion(SPACE.network, SPACE.widths(SPACE.largest), WEIGHTS, list(Precision), IMAGES)

every_format = pytest.mark.parametrize("name", FORMATS, ids=list(FORMATS))

ROUNDING = {
    Precision.INT8: (1e-3, 0.15, 0.5),
    Precision.DYNAMIC_INT8: (1e-3, 0.05, 0.05),
    Precision.FLOAT16: (1e-4, 3e-3, 3e-3),
}
"""What rounding makes in the median of all branches at least, and in one of them at most: of the whole, of a slice."""
every_rounding = pytest.mark.parametrize("precision", ROUNDING)


@pytest.fixture(scope="module")
def files() -> dict[FormatName, dict[Precision, bytes]]:
    """The network at its maximum widths, in every format and precision."""
    return {name: one.convert(WHOLE) for name, one in FORMATS.items()}


def expected(config: ChannelConfig) -> NDArray[np.float32]:
    """What torch computes at a configuration: (images, branches, outputs of each)."""
    weights = slice_weights(SPACE, config, WEIGHTS)
    tensors = {name: FoldedTensors(*map(torch.from_numpy, layer)) for name, layer in weights.items()}
    logits = folded_outputs(SPACE.network, SPACE.widths(config), tensors, torch.from_numpy(IMAGES))
    return logits.numpy().reshape(len(IMAGES), -1, OUTPUTS)


def branches(content: bytes) -> NDArray[np.float32]:
    """The same by a file's own runtime."""
    return run_model(content, IMAGES).reshape(len(IMAGES), -1, OUTPUTS)


def test_the_network_has_every_operator_and_activation() -> None:
    """Or the others would prove less than they say."""
    assert {type(layer.operator) for layer in SPACE.network.layers} == OPERATORS
    assert {name_of(activation) for activation in ACTIVATIONS} == ALL_ACTIVATIONS


def test_every_table_has_every_operator_and_activation() -> None:
    """And no other."""
    require(find_spec("tensorflow"), "tensorflow")
    from edgewidth.formats.tflite import keras_network

    for table in (keras_network, nodes):
        assert table.OPERATORS.keys() == OPERATORS
        assert table.ACTIVATIONS.keys() == ALL_ACTIVATIONS


@every_format
def test_every_operator_computes_what_torch_computes(
    name: FormatName, files: dict[FormatName, dict[Precision, bytes]]
) -> None:
    """In float32 at the maximum, the minimum and at random widths, cut from one file."""
    layout = FORMATS[name].layout(files[name][Precision.FLOAT32], WHOLE)
    rng = np.random.default_rng(4)
    for config in (SPACE.largest, SPACE.smallest, *(SPACE.sample(rng) for _ in range(6)), SPACE.largest):
        logits = expected(config)
        error = np.abs(branches(layout.write(SPACE.widths(config))) - logits).max((0, 2)) / logits.std((0, 2))
        assert {place: value for place, value in enumerate(error) if value > 1e-4} == {}


@every_format
@pytest.mark.parametrize("precision", Precision)
def test_sizes_are_those_of_the_files(
    name: FormatName, precision: Precision, files: dict[FormatName, dict[Precision, bytes]]
) -> None:
    """To the byte in TFLite, and up to shorter numbers of lengths in ONNX; for a search, never less.

    A search does not know of kernels that depend on many variables whether they are too small to be rounded.
    """
    layout = FORMATS[name].layout(files[name][precision], WHOLE)
    size, rng = layout.size, np.random.default_rng(5)
    factors = [Factor(*factor) for factor in size.factors(SPACE)]
    assert max(len(factor.scope) for factor in factors) == 2
    for config in (SPACE.largest, SPACE.smallest, *(SPACE.sample(rng) for _ in range(8))):
        length = len(layout.write(SPACE.widths(config)))
        slack = 0.03 * length if name is FormatName.ONNX else 15
        assert 0 <= size.bytes_at(SPACE.widths(config)) - length <= slack
        bound = total(factors, np.array([SPACE.indices(config)]))[0]
        assert 0 <= bound - length <= (0.05 if precision is Precision.DYNAMIC_INT8 else 0.03) * length


@every_format
@every_rounding
def test_every_operator_is_rounded_and_not_broken(
    name: FormatName, precision: Precision, files: dict[FormatName, dict[Precision, bytes]]
) -> None:
    """Of each branch, by the root of the mean square."""
    logits, (rounding, greatest, _) = expected(SPACE.largest), ROUNDING[precision]
    error = np.sqrt(((branches(files[name][precision]) - logits) ** 2).mean((0, 2))) / logits.std((0, 2))
    assert {place: value for place, value in enumerate(error) if value > greatest} == {}
    assert np.median(error) > rounding


@every_format
@every_rounding
def test_a_slice_is_the_whole_with_the_rest_of_its_channels_left_out(
    name: FormatName, precision: Precision, files: dict[FormatName, dict[Precision, bytes]]
) -> None:
    """Between the largest and its slice, errors of rounding grow only as ranges are too wide for narrow layers."""
    layout = FORMATS[name].layout(files[name][precision], WHOLE)
    assert np.array_equal(branches(layout.write(WHOLE.widths)), branches(files[name][precision]))
    config = SPACE.config([2] * len(SPACE.variables))
    logits, (*_, greatest) = expected(config), ROUNDING[precision]
    squares = ((branches(layout.write(SPACE.widths(config))) - logits) ** 2).mean((0, 2))
    error = np.sqrt(squares / (logits**2).mean((0, 2)))  # too wide a range moves all outputs of a branch together
    assert {place: value for place, value in enumerate(error) if value > greatest} == {}
