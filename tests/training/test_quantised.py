"""Fake quantisation computes what int8 files compute, and training with it goes on where it was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from small_training import RESOLUTION, KillAfter, Killed, small_data, small_recipe, small_space

from edgewidth.data.pixels import normalise_tensor
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.inspect import run_model
from edgewidth.formats.onnx.network import onnx_files
from edgewidth.formats.tflite.convert import tflite_files
from edgewidth.graph.operators import Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.records.measurement import Precision
from edgewidth.records.weights import FoldedLayer
from edgewidth.training.finetune import finetune_int8
from edgewidth.training.loop import loop
from edgewidth.training.networks.bias_correction import fold_for_int8
from edgewidth.training.networks.inference import FoldedTensors, fold, folded_outputs, network_outputs
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.quantised import RANGE_SHARE, QuantisedNetwork
from edgewidth.training.networks.weights import digest, load_plain
from edgewidth.training.ordinary import finish

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.weights import FoldedWeights

DATA = small_data()


def _chain_space() -> SearchSpace:
    """Three weighted layers: few enough that a value rounded to the other side changes little after it."""
    nodes = (
        Node(name="stem", operator=Conv(width="a", kernel=3, stride=2, activation="relu6"), inputs=(INPUT,)),
        Node(name="spatial", operator=Depthwise(kernel=3), inputs=("stem",)),
        Node(name="pool", operator=GlobalAveragePool(), inputs=("spatial",)),
        Node(name="logits", operator=Dense(width=3), inputs=("pool",)),
    )
    network = NetworkSpec(family="chain", resolution=RESOLUTION, in_channels=1, nodes=nodes)
    return SearchSpace(network=network, variables=(WidthVariable(name="a", base=8, choices=(8,)),))


def _network(space: SearchSpace) -> PlainNetwork:
    """Random weights whose channels differ in size."""
    network = PlainNetwork(space, space.largest, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    finish(network, DATA, seed=0)
    return network


@pytest.mark.parametrize("files", [tflite_files, onnx_files])
def test_it_computes_what_the_int8_file_computes(files: Any) -> None:
    """Far closer to the file than float32 is; the file comes from the converter and runs in its own runtime."""
    network = _network(_chain_space())
    whole = network.space.network, network.widths, fold(network)
    converted = files(Conversion(*whole, [Precision.INT8], DATA.train.images))
    int8 = run_model(converted[Precision.INT8], DATA.test.images)
    quantised = QuantisedNetwork(network).eval()
    quantised.calibrate(torch.from_numpy(DATA.train.images))
    with torch.no_grad():
        ours = quantised(normalise_tensor(torch.from_numpy(DATA.test.images))).numpy()

    def distance(other: Any) -> float:
        return float(np.sqrt(np.mean((int8 - other) ** 2)))

    assert distance(ours) < 0.25 * distance(network_outputs(network, DATA.test.images))


def _rounded(kernel: Any) -> Any:
    """A kernel rounded to 255 values for each output channel, in NumPy."""
    scale = np.abs(kernel).max(tuple(range(1, kernel.ndim)), keepdims=True) / 127
    return np.rint(kernel / scale) * scale


@pytest.mark.parametrize(
    "operators",
    [
        (Conv(width=8, kernel=3, stride=2), Conv(width=6, groups=2, affine="bias"), GlobalAveragePool()),
        (Depthwise(kernel=(2, 5), padding=((2, 0), (1, 3)), multiplier=4), GlobalAveragePool()),
        (),
    ],
    ids=["convolutions in groups", "depthwise", "dense over a map"],
)
def test_biases_take_off_what_rounding_kernels_adds_on_average(operators: tuple[Any, ...]) -> None:
    """All of it where no activation follows: kernels rounded by NumPy, mean logits are the exact ones."""
    names = [INPUT, *(f"layer{place}" for place in range(len(operators))), "logits"]
    layers = zip(names[1:], (*operators, Dense(width=3)), names[:-1], strict=True)
    nodes = tuple(Node(name=name, operator=operator, inputs=(source,)) for name, operator, source in layers)
    spec = NetworkSpec(family="linear", resolution=RESOLUTION, in_channels=1, nodes=nodes)
    network, images = _network(SearchSpace(network=spec, variables=())), DATA.train.images

    def mean(weights: FoldedWeights) -> Any:
        tensors = {name: FoldedTensors(*map(torch.from_numpy, layer)) for name, layer in weights.items()}
        return folded_outputs(spec, {}, tensors, torch.from_numpy(images)).numpy().mean(0)

    def error(weights: FoldedWeights) -> float:
        rounded = {name: FoldedLayer(_rounded(kernel), bias) for name, (kernel, bias) in weights.items()}
        return float(np.abs(mean(rounded) - mean(fold(network))).max())

    before, after = error(fold(network)), error(fold_for_int8(network, images))
    assert before > 1e-3 * np.abs(mean(fold(network))).max()
    assert after < 0.01 * before


@pytest.mark.parametrize("files", [tflite_files, onnx_files])
def test_int8_files_err_less_on_average_with_such_biases(files: Any) -> None:
    """By their own runtimes, on the images that the biases suit."""
    network, images = _network(_chain_space()), DATA.train.images

    def mean_error(weights: FoldedWeights) -> float:
        content = files(Conversion(network.space.network, network.widths, weights, [Precision.INT8], images))
        found = run_model(content[Precision.INT8], images)
        return float(np.abs((found - network_outputs(network, images)).mean(0)).max())

    assert mean_error(fold_for_int8(network, images)) < 0.5 * mean_error(fold(network))


def test_ranges_follow_the_images_in_training_alone() -> None:
    """An exponential average of least and greatest values that always contains zero."""
    network = QuantisedNetwork(_network(small_space()))
    images = normalise_tensor(torch.from_numpy(DATA.train.images[:16]))
    network.calibrate(torch.from_numpy(DATA.train.images))
    before = network.ranges.clone()
    network.eval()(images)
    assert torch.equal(network.ranges, before)
    network.train()(0.5 * images + 0.4)
    expected = torch.lerp(before[0], torch.tensor([0.0, float((0.5 * images + 0.4).max())]), RANGE_SHARE)
    low = float((0.5 * images + 0.4).min())
    assert low < 0
    expected[0] = before[0, 0] + RANGE_SHARE * (low - before[0, 0])
    assert network.ranges[0].tolist() == pytest.approx(expected.tolist())
    assert (network.ranges[:, 0] <= 0).all()
    assert (network.ranges[:, 1] >= 0).all()


def _train(network: PlainNetwork, folder: Path, name: str, **options: Any) -> PlainNetwork:
    return finetune_int8(
        network,
        DATA,
        small_recipe().finetune,
        calibration=DATA.train.images[:50],
        weights_out=folder / name,
        log=folder / "log.jsonl",
        checkpoints=folder / f"checkpoints-{name}",
        seed=0,
        **options,
    )


def test_a_killed_training_ends_as_the_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges and averages included; the network that it started from is as it was."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    network = _network(small_space())
    before = digest(network)
    trained = _train(network, tmp_path, "unbroken")
    with pytest.raises(Killed):
        _train(network, tmp_path, "broken", progress=KillAfter(9))
    progress = KillAfter()
    _train(network, tmp_path, "broken", progress=progress)
    assert progress.goes_on_from == 10
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "unbroken").read_bytes()
    assert digest(network) == before != digest(trained)
    assert np.array_equal(
        network_outputs(load_plain(tmp_path / "broken"), DATA.test.images), network_outputs(trained, DATA.test.images)
    )


def test_a_checkpoint_of_other_weights_is_not_taken_up(tmp_path: Path) -> None:
    """An ended training leaves its checkpoint; another network does not go on from that."""
    space = small_space()
    _train(_network(space), tmp_path, "first")
    other = PlainNetwork(space, ChannelConfig((12, 16)), seed=5)
    finish(other, DATA, seed=0)
    _train(other, tmp_path, "first")
    fresh = tmp_path / "fresh"
    assert digest(load_plain(tmp_path / "first")) == digest(_train(other, fresh, "fresh"))
