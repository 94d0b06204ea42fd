#!/usr/bin/env python3
"""What is told of where a model ran, against what its operators are known to allow, on every engine of this machine.

Twelve cases are constructed: on each of four engines a model that fits wholly, one that fits in part, and one of which
nothing fits. LiteRT's GPU and ONNX Runtime's WebGPU plug-in run on SwiftShader (Debian's chromium brings it), LiteRT's
NPU is the OpenVINO plug-in on its processor, and the delegate is built with gcc from tests/stand_in_delegate.c.

ran_share         for each case: how many operators were told to have run there, of how many, and how many are known to
timed_to_output   whether reading the outputs after a run that was timed takes no tenth of the run: it had ended
agrees_with_cpu   whether the outputs are those of the processor within 2 % of their range
silent_fallbacks  cases of which more was told to have run on the accelerator than can have
agreement         median time of CompiledModel over that of Interpreter on the processor, in turns; both run XNNPACK
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # models whose operators are known

from small_onnx import onnx_chain
from small_tflite import tflite_chain

from edgewidth.devices.on_device.forked import in_child
from edgewidth.devices.on_device.loaded import Asked, difference_percent
from edgewidth.devices.on_device.placement import captured_log
from edgewidth.devices.on_device.runtimes import import_runtime, load
from edgewidth.devices.on_device.visit import VisitError

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json"
LIMIT_S = 120.0
DENSE, NEG, NORM = "FULLY_CONNECTED", "NEG", "L2_NORMALIZATION"


class Case(NamedTuple):
    """A model on an engine, and how many of its operators fit there."""

    name: str
    engine: Json
    content: bytes
    operators: int
    fit: int


def cases(delegate: str) -> list[Case]:
    """The twelve."""
    gpu = {"runtime": "litert", "accelerator": "gpu"}
    npu = {"runtime": "litert", "accelerator": "npu", "options": {"intel_openvino.graph_backend": "CPU"}}
    no_npu = {"runtime": "litert", "accelerator": "npu"}
    external = {"runtime": "litert", "accelerator": "npu", "delegate": delegate}
    web = {"provider": "WebGpu", "library": "onnxruntime_ep_webgpu"}
    webgpu = {"runtime": "onnxruntime", "accelerator": "gpu", **web}
    wide = 256

    def chain(*kinds: str) -> bytes:
        return tflite_chain(kinds, wide)

    return [
        Case("litert gpu, wholly", gpu, chain(DENSE, NEG, DENSE), 3, 3),
        Case("litert gpu, in part", gpu, chain(DENSE, DENSE, NORM, DENSE), 4, 2),
        Case("litert gpu, nothing", gpu, chain(NORM), 1, 0),
        Case("litert npu, wholly", npu, chain(DENSE, DENSE), 2, 2),
        Case("litert npu, in part", npu, chain(DENSE, DENSE, NEG), 3, 2),
        Case("litert npu that is not there", no_npu, chain(DENSE, DENSE), 2, 0),
        Case("delegate, wholly", external, chain(NEG), 1, 1),
        Case("delegate, in part", external, chain(DENSE, NEG, DENSE, NEG), 4, 2),
        Case("delegate, nothing", external, chain(DENSE, DENSE), 2, 0),
        Case("onnxruntime gpu, wholly", webgpu, onnx_chain(["Conv", "Relu", "Conv"]), 3, 3),
        Case("onnxruntime gpu, in part", webgpu, onnx_chain(["Conv", "Relu", "LRN", "Conv"]), 4, 3),
        Case("onnxruntime gpu, nothing", webgpu, onnx_chain(["LRN"]), 1, 0),
    ]


def looked_at(case: Case, path: str) -> Json:
    """In a process of its own: what is told, how long a run and reading its outputs take, and how right they are."""
    module = import_runtime(case.engine["runtime"])
    asked = Asked(case.engine, path, 1)
    loaded = load(module, asked)
    runs, reads, outputs = list[float](), list[float](), []
    for _ in range(12):
        begin = time.perf_counter()
        loaded.run()
        ended = time.perf_counter()
        outputs = list(loaded.outputs())
        runs.append(ended - begin)
        reads.append(time.perf_counter() - ended)
    with captured_log():
        right = load(module, asked.on_cpu)
        right.run()
    difference = difference_percent(outputs, right.outputs())
    return {
        "placed": loaded.placed,
        "run_ms": 1e3 * statistics.median(runs),
        "read_ms": 1e3 * statistics.median(reads),
        "difference_percent": difference,
    }


def judged(case: Case, folder: Path) -> Json:
    """One case: what was told against what is known."""
    suffix = "onnx" if case.engine["runtime"] == "onnxruntime" else "tflite"
    path = folder / f"model.{suffix}"
    path.write_bytes(case.content)
    try:
        found = in_child(lambda: looked_at(case, str(path)), LIMIT_S, lambda: None)
    except VisitError as error:
        return {"case": case.name, "failed": str(error)}
    told = found["placed"] or {"accelerated": None, "operators": None}
    read_share = found["read_ms"] / found["run_ms"]
    return {
        "case": case.name,
        "ran": told["accelerated"],
        "of": told["operators"],
        "known": case.fit,
        "ran_share": (told["accelerated"], told["operators"]) == (case.fit, case.operators),
        "silent": told["accelerated"] is None or told["accelerated"] > case.fit,
        # Below a hundredth of a millisecond the clock and Python are what is timed.
        "timed_to_output": read_share < 0.1 or found["read_ms"] < 0.01,
        "agrees_with_cpu": found["difference_percent"] is not None and found["difference_percent"] < 2,
        **{key: found[key] for key in ("run_ms", "read_ms", "difference_percent")},
    }


def agreement(folder: Path) -> float:
    """CompiledModel's time over the interpreter's on the processor: the median of twenty turns."""
    path = folder / "agreement.tflite"
    path.write_bytes(tflite_chain([DENSE] * 8, 512))
    module = import_runtime("litert")
    asked = Asked({"runtime": "litert", "accelerator": "cpu"}, str(path), 1)

    def compare() -> Json:
        runs = [load(one, asked).run for one in (module, module._replace(compiled=None))]
        ratios = []
        for _ in range(20):
            times = [min(_timed(run) for _ in range(100)) for run in runs]
            ratios.append(times[0] / times[1])
        return {"ratio": statistics.median(ratios)}

    ratio: float = in_child(compare, LIMIT_S, lambda: None)["ratio"]
    return ratio


def _timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main() -> None:
    """Look at all of them and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    lacking = [name for name in ("openvino", "onnxruntime_ep_webgpu") if find_spec(name) is None]
    lacking += [] if Path(SWIFTSHADER).exists() else ["SwiftShader (Debian: chromium)"]
    if lacking:
        parser.error(f"this needs {', '.join(lacking)}")
    os.environ |= {"VK_ICD_FILENAMES": SWIFTSHADER, "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = Path(__file__).parents[2] / "tests" / "stand_in_delegate.c"
        built = ["gcc", "-shared", "-fPIC", "-o", str(folder / "delegate.so"), str(source)]
        subprocess.run(built, check=True, timeout=60)  # the compiler that the person has
        rows = [judged(case, folder) for case in cases(str(folder / "delegate.so"))]
        ratio = agreement(folder)
    good = ("ran_share", "timed_to_output", "agrees_with_cpu")
    found = {
        **{key: all(row.get(key) for row in rows) for key in good},
        "silent_fallbacks": sum(row.get("silent", True) for row in rows),
        "agreement": round(ratio, 3),
        "cases": rows,
    }
    if options.json:
        print(json.dumps(found))
        return
    for row in rows:
        text = row.get("failed") or f"{row['ran']} of {row['of']}, {row['known']} known; {row['run_ms']:.3g} ms a run"
        print(f"{row['case']:32s} {text}")
    print({key: value for key, value in found.items() if key != "cases"})


if __name__ == "__main__":
    main()
