#!/usr/bin/env python3
"""Whether networks that nobody here wrote are captured, cut, converted and searched: twenty of pytorchcv.

They have random weights and random statistics of batch normalisation. For each of them:

captured          whether it was; else ``error`` says why not
logit_error       largest difference of its logits from the module's, as a part of their spread
variables         its width variables
coupling_agrees   whether Torch-Pruning finds the same layers to have the same channels
tflite, onnx      of the float32 file of a random configuration, cut from the file of all channels: the largest
                  difference of its outputs, as a part of their spread, from the module whose layers read zeros in
                  place of the channels that are left out (``from_torch``), and from a file that was converted afresh
                  (``from_converted``)
int8_agrees       percent of smooth images of which the int8 file finds the class that the float32 file finds, the
                  less of both formats. Random weights give all images nearly the same logits, so that the two
                  largest may lie closer together than int8 can tell: then it says nothing, and the next keys do
int8_agrees_clear the same of the images that are clear: whose two largest logits lie four times as far apart as int8
                  errs (root of the mean square); None if no image is
int8_sqnr_db      of the int8 file's logits over their difference from the float32 file's, in decibels; the less of
                  both formats
int8_rounded_db   the same of the network in torch with its weights and the outputs of its layers rounded to 8 bits.
                  This is the weights' doing, which no file can help; files also round before activations that are
                  operators of their own, and within SiLU, which costs up to 4 dB here
search_s          exact answer and frontier over a table of multiply-accumulates, in seconds

``all`` counts the networks that are captured within 1e-4 and whose coupling agrees.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorchcv.model_provider import get_model

from edgewidth.capture.capture import Captured, capture
from edgewidth.data.pixels import normalise_tensor
from edgewidth.errors import EdgewidthError
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import slice_weights
from edgewidth.formats.inspect import run_model
from edgewidth.formats.registry import FORMATS
from edgewidth.graph.families.ranges import WidthRanges, space_around
from edgewidth.graph.space import ChannelConfig
from edgewidth.graph.widths import variables_of
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor
from edgewidth.search.feasible import fastest
from edgewidth.search.problem import Problem
from edgewidth.training.networks.inference import fold
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.quantised import QuantisedNetwork

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # what tests hold captured networks against

from own_networks import logit_error, masked, randomised, space_of
from pruning_groups import by_layers, own_groups, pruning_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.weights import FoldedWeights

NETWORKS = (
    "mobilenet_w1",
    "mobilenetv2_w1",
    "mobilenetv3_small_w1",
    "resnet18",
    "resnet20_cifar10",
    "efficientnet_b0",
    "efficientnet_edge_small_b",
    "mnasnet_b1",
    "proxylessnas_mobile",
    "fbnet_cb",
    "seresnet18",
    "squeezenet_v1_1",
    "bn_vgg16",
    "shufflenetv2_w1",
    "darknet53",
    "hardnet39ds",
    "vovnet39",
    "densenet121",
    "mixnet_s",
    "resnext50_32x4d",
)
IMAGES = 16
LARGEST_ERROR = 1e-4
BUDGET_SHARE = 0.6


def smooth_images(size: tuple[int, int], *, seed: int) -> NDArray[np.uint8]:
    """Images without noise: waves in every direction, each channel with its own. uint8 (n, height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(0, 1, length) for length in size), indexing="ij")
    waves = [
        np.sin(2 * np.pi * (rng.uniform(-2, 2) * y + rng.uniform(-2, 2) * x + rng.uniform())) for _ in range(3 * IMAGES)
    ]
    stacked = np.stack(waves).reshape(IMAGES, 3, *size).transpose(0, 2, 3, 1)
    return (127.5 + 127 * stacked).astype(np.uint8)


def difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest, as a part of the spread of what was expected."""
    return float(np.max(np.abs(found - expected)) / (expected.max() - expected.min()))


def file_numbers(
    module: nn.Module, captured: Captured, images: NDArray[np.uint8], format_name: FormatName
) -> tuple[dict[str, float], dict[str, float]]:
    """How a file of a random configuration differs from torch and from one made afresh; and int8 from float32."""
    space = space_around(captured.network, captured.base_widths, WidthRanges(max_width=1.0, with_base=True))
    network = PlainNetwork(space, space.largest)
    network.load_state_dict(dict(captured.weights))
    config = space.sample(np.random.default_rng(1))
    weights = fold(network)
    whole = _convert(space, space.widths(space.largest), weights, images, format_name, list(Precision))
    conversion = Conversion(space.network, space.widths(space.largest), weights, [Precision.FLOAT32])
    layout = FORMATS[format_name].layout(whole[Precision.FLOAT32], conversion)
    narrow = run_model(layout.write(space.widths(config)), images)
    afresh = _convert(
        space, space.widths(config), slice_weights(space, config, weights), images, format_name, [Precision.FLOAT32]
    )
    expected = masked(module, captured, space.widths(config), normalise_tensor(torch.from_numpy(images))).numpy()
    rounded, exact = (run_model(whole[precision], images) for precision in (Precision.INT8, Precision.FLOAT32))
    found = {
        "from_torch": difference(narrow, expected),
        "from_converted": difference(narrow, run_model(afresh[Precision.FLOAT32], images)),
    }
    agrees, largest = rounded.argmax(1) == exact.argmax(1), np.sort(exact, 1)
    clear = largest[:, -1] - largest[:, -2] > 4 * np.sqrt(np.mean((rounded - exact) ** 2))
    quantised = {"int8_agrees": 100 * float(np.mean(agrees)), "int8_sqnr_db": sqnr_db(rounded, exact)}
    return found, quantised | ({"int8_agrees_clear": 100 * float(np.mean(agrees[clear]))} if clear.any() else {})


def sqnr_db(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """The variance of what is exact over the mean square of the errors, in decibels."""
    return 10 * float(np.log10(exact.var() / np.mean((found - exact) ** 2)))


@torch.no_grad()
def rounded_db(module: nn.Module, captured: Captured, images: torch.Tensor) -> float:
    """What is left of the logits when torch rounds weights and outputs of layers, in decibels."""
    network = PlainNetwork(space_of(captured), ChannelConfig(captured.base_widths))
    network.load_state_dict(dict(captured.weights))
    quantised = QuantisedNetwork(network).eval()
    quantised.calibrate(images)
    batch = normalise_tensor(images)
    return sqnr_db(quantised(batch).numpy(), module(batch).numpy())


def _convert(
    space: SearchSpace,
    widths: dict[str, int],
    weights: FoldedWeights,
    images: NDArray[np.uint8],
    format_name: FormatName,
    precisions: list[Precision],
) -> dict[Precision, bytes]:
    return FORMATS[format_name].convert(Conversion(space.network, widths, weights, precisions, images))


def search_seconds(captured: Captured) -> float:
    """Answer and frontier, where latency is proportional to multiply-accumulates and losses fall with the width."""
    space = space_around(captured.network, captured.base_widths, WidthRanges(with_base=True))
    place = {variable.name: index for index, variable in enumerate(space.variables)}
    latencies = []
    for layer in space.network.layers:
        for part in layer.operator.parts(layer.reads, layer.output):
            scope = variables_of((part.source, part.target))
            channels = [np.array(space.choices_of(name), dtype=float) for name in scope]
            values = channels[0] if len(scope) == 1 else channels[0][:, None] * channels[1] if scope else np.array(1.0)
            work = 1e-8 * layer.output.pixels * layer.operator.taps
            latencies.append(Factor(tuple(place[name] for name in scope), work * values))
    losses = tuple(
        Factor((index,), 0.01 * (variable.base / np.array(variable.choices)))
        for index, variable in enumerate(space.variables)
    )
    problem = Problem(tuple(len(variable.choices) for variable in space.variables), losses, tuple(latencies))
    least, most = fastest(problem).latency_ms, problem.point(space.indices(space.largest)).latency_ms
    start = time.perf_counter()
    solve(problem, least + BUDGET_SHARE * (most - least))
    return time.perf_counter() - start


def coupling_agrees(module: nn.Module, captured: Captured, images: torch.Tensor) -> bool:
    """Channel by channel; of a split's parts Torch-Pruning loses the order, so there only which layers meet."""
    own, others = own_groups(captured), pruning_groups(module, captured, images)
    if any(layer.operator.op == "slice" for layer in captured.network.layers):
        return by_layers(own) == by_layers(others)
    return own == others


def numbers(name: str, steps: list[str]) -> dict[str, Any]:
    """All of a network."""
    torch.manual_seed(0)
    module = randomised(get_model(name))
    size = getattr(module, "in_size", (224, 224))
    images = smooth_images(size, seed=0)
    batch = normalise_tensor(torch.from_numpy(images[:4]))
    try:
        captured = capture(module, batch, name=name)
    except EdgewidthError as error:
        return {"captured": False, "error": error.message}
    found: dict[str, Any] = {"captured": True, "variables": len(captured.network.variables)}
    found["logit_error"] = logit_error(module, captured, batch)
    found["coupling_agrees"] = coupling_agrees(module, captured, batch)
    if "search" in steps:
        found["search_s"] = search_seconds(captured)
    quantised = []
    for format_name in FormatName:
        if format_name in steps:
            found[format_name.value], one = file_numbers(module, captured, images, format_name)
            quantised.append(one)
    if quantised:
        found["int8_rounded_db"] = rounded_db(module, captured, torch.from_numpy(images))
    keys = ("int8_agrees", "int8_agrees_clear", "int8_sqnr_db") if quantised else ()
    return found | {key: min((one[key] for one in quantised if key in one), default=None) for key in keys}


def main() -> None:
    """Print the numbers of every network as one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="Names of pytorchcv; all twenty without any.")
    parser.add_argument("--json", action="store_true", help="One JSON document; it is so in any case.")
    steps = ["search", *(name.value for name in FormatName)]
    parser.add_argument("--steps", nargs="*", choices=steps, default=steps, help="What to do beside capturing.")
    options = parser.parse_args()
    found = {}
    for name in options.networks or NETWORKS:
        found[name] = numbers(name, options.steps)
        print(f"{name}: {json.dumps(found[name])}", file=sys.stderr)
    good = [one for one in found.values() if one["captured"] and one["logit_error"] < LARGEST_ERROR]
    print(json.dumps({"all": sum(one["coupling_agrees"] for one in good), "networks": found}, indent=1))


if __name__ == "__main__":
    main()
