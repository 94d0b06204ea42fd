#!/usr/bin/env python3
"""What slicing a variant out of one converted file saves, and whether the variant is as good as a converted one.

For TFLite and for ONNX, in int8:

ratio                             seconds to convert and quantise one configuration over seconds to slice it; the
                                  imports of the converter are not counted
convert_s, slice_ms               those two: one conversion, and the median of the slicings
equal_ops                         whether every sliced file executes the operators of the converted one
worst_latency_difference_percent  of any configuration, sliced against converted, on this machine with one thread:
                                  the median over pairs of blocks that were timed one after the other

Each configuration is converted from the very weights that its slice has, so that the two files differ in nothing but
the way they were made (and the scales that calibration finds).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.inspect import load_model, model_facts
from edgewidth.formats.onnx.network import onnx_network, quantise_onnx
from edgewidth.formats.variants import SEED, VariantFactory
from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from edgewidth.formats.format import LoadedModel
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.records.weights import FoldedWeights

    Convert = Callable[[NetworkSpec, Mapping[str, int], FoldedWeights, NDArray[np.uint8]], bytes]

CALIBRATION_IMAGES = 20
SLICINGS = 50
SESSIONS = 8
PAIRS = 10
BLOCK_S = 0.03


class Converted(NamedTuple):
    """One configuration, made both ways."""

    sliced: bytes
    converted: bytes
    convert_s: float
    slice_s: float


def convert_tflite(
    network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights, images: NDArray[np.uint8]
) -> bytes:
    """As the conversion process does it, without its imports."""
    from edgewidth.formats.tflite.keras_network import keras_network  # noqa: PLC0415 - after the log level is set
    from edgewidth.formats.tflite.worker import convert_keras  # noqa: PLC0415 - the same

    return convert_keras(keras_network(network, widths, weights), [Precision.INT8], images)[Precision.INT8]


def convert_onnx(
    network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights, images: NDArray[np.uint8]
) -> bytes:
    """The network written and quantised."""
    return bytes(quantise_onnx(onnx_network(network, widths, weights), images).SerializeToString())


def make(space: SearchSpace, config: ChannelConfig, factory: VariantFactory, convert: Convert) -> Converted:
    """Convert a configuration once and slice it often."""
    widths = space.widths(config)
    whole = random_weights(space.network, space.widths(space.largest), seed=SEED)
    weights = slice_weights(space, config, whole)
    shape = (CALIBRATION_IMAGES, *space.network.input.size, space.network.in_channels)
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    start = time.perf_counter()
    converted = convert(space.network, widths, weights, images)
    convert_s = time.perf_counter() - start
    times = []
    for _ in range(SLICINGS):
        start = time.perf_counter()
        factory.variant(config)
        times.append(time.perf_counter() - start)
    return Converted(factory.variant(config), converted, convert_s, float(np.median(times)))


def operators(content: bytes, format_name: FormatName) -> Counter[Any]:
    """What the file's runtime executes, and how often."""
    if format_name == FormatName.TFLITE:
        from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - beside its only use

        model = schema.ModelT.InitFromPackedBuf(content, 0)
        codes = (model.operatorCodes[operator.opcodeIndex] for operator in model.subgraphs[0].operators)
        return Counter(code.builtinCode for code in codes)
    import onnx  # noqa: PLC0415 - beside its only use
    import onnxruntime  # noqa: PLC0415 - beside its only use

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def latency_difference_percent(pair: Converted) -> float:
    """How much slower (positive) or faster the sliced file is than the converted one."""
    ratios = []
    for _ in range(SESSIONS):
        # Where a session's memory lies changes its speed by a few percent, so that one session of each says little.
        sliced, converted = load_model(pair.sliced), load_model(pair.converted)
        source = model_facts(pair.sliced).inputs[0]
        image = np.zeros(source.shape or (), source.dtype)
        block_s(sliced, image), block_s(converted, image)
        for turn in range(PAIRS):
            # Whoever comes second may find caches and clock in another state, so the turns alternate.
            first, second = (sliced, converted) if turn % 2 else (converted, sliced)
            times = {first: block_s(first, image)}
            times[second] = block_s(second, image)
            ratios.append(times[sliced] / times[converted])
    return float(np.median(ratios) - 1) * 100


def block_s(loaded: LoadedModel, image: NDArray[Any]) -> float:
    """The fastest run of one block of back-to-back runs; its first is a warm-up."""
    loaded.run(image)
    best, end = float("inf"), time.perf_counter() + BLOCK_S
    while (start := time.perf_counter()) < end:
        loaded.run(image)
        best = min(best, time.perf_counter() - start)
    return best


def bench(
    space: SearchSpace, configs: list[ChannelConfig], format_name: FormatName, convert: Convert
) -> dict[str, Any]:
    """All numbers of one format."""
    with tempfile.TemporaryDirectory() as cache:
        factory = VariantFactory(space, Precision.INT8, format_name, Path(cache))
        pairs = [make(space, config, factory, convert) for config in configs]
    differences = [latency_difference_percent(pair) for pair in pairs]
    convert_s, slice_s = (float(np.median([getattr(p, field) for p in pairs])) for field in ("convert_s", "slice_s"))
    return {
        "ratio": round(convert_s / slice_s, 1),
        "convert_s": round(convert_s, 3),
        "slice_ms": round(slice_s * 1000, 3),
        "equal_ops": all(operators(p.sliced, format_name) == operators(p.converted, format_name) for p in pairs),
        "worst_latency_difference_percent": round(max(map(abs, differences)), 2),
        "latency_differences_percent": [round(difference, 2) for difference in differences],
    }


def main() -> None:
    """Print the numbers of both formats."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(FAMILIES), default="mobilenet_v1")
    parser.add_argument("--resolution", type=int, help="pixels a side; default: what the network was published for")
    parser.add_argument("--configs", type=int, default=3, help="random configurations to convert and compare")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow  # noqa: F401, ICN001, PLC0415 - so that its import is in no timing

    output = os.dup(1)
    os.dup2(2, 1)  # the converter prints to standard output from C++
    space = search_space(arguments.network, resolution=arguments.resolution)
    rng = np.random.default_rng(0)
    configs = [space.sample(rng) for _ in range(arguments.configs)]
    result = {
        "network": arguments.network,
        "resolution": space.network.resolution,
        "configs": [str(config) for config in configs],
        "tflite": bench(space, configs, FormatName.TFLITE, convert_tflite),
        "onnx": bench(space, configs, FormatName.ONNX, convert_onnx),
    }
    sys.stdout.flush()
    os.dup2(output, 1)
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    for name in ("tflite", "onnx"):
        print(name, *(f"  {key}: {value}" for key, value in result[name].items()), sep="\n")


if __name__ == "__main__":
    main()
