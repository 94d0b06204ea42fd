#!/usr/bin/env python3
"""Would the next validation find the same? Files are validated again and again over an hour, as a user would.

Each time a plain loop around the runtime's own call runs beside it where the device is this machine. The cache folder
is a new one, as of a machine on which nothing was ever validated.

within1_percent    validations within 1 % of the median of all of the same file
coverage_percent   validations whose 95 % interval holds the median of the others of the same file
first_percent      the same for the first validation of each file
half_width_percent half the width of these intervals, the median
bias_percent       how much slower than the plain loop the validations are, from medians by file; null elsewhere
all_bias_percent   the same of all of a validation's runs, those that neighbours on the processor slowed too
seconds            of a validation, the median
other_load_percent validations that warned of other programs on the device
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from repeatability import make_variants

from edgewidth.cli.values import duration
from edgewidth.devices.profiles import load_profile
from edgewidth.records.measurement import EngineName
from edgewidth.stages.target import make_target
from edgewidth.stages.validate import validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.records.measurement import LatencyEstimate

LOOP = """
import statistics, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
[one] = interpreter.get_input_details()
interpreter.set_tensor(one["index"], np.random.default_rng(0).integers(-128, 127, one["shape"], dtype=one["dtype"]))
times, end = [], time.perf_counter() + 1.0
while time.perf_counter() < end:
    begin = time.perf_counter_ns()
    interpreter.invoke()
    times.append(time.perf_counter_ns() - begin)
print(statistics.median(times[len(times) // 5 :]) / 1e6)
"""


def loop_ms(path: Path) -> float:
    """The median of a second of runs, the first fifth left out."""
    told = subprocess.run([sys.executable, "-c", LOOP, str(path)], capture_output=True, check=True, timeout=120)
    return float(told.stdout)


def holds(latencies: Sequence[LatencyEstimate]) -> list[bool]:
    """Whether each interval has the median of the others."""
    values = [one.value_ms for one in latencies]
    others = [statistics.median(values[:place] + values[place + 1 :]) for place in range(len(values))]
    return [one.low_ms <= truth <= one.high_ms for one, truth in zip(latencies, others, strict=True)]


def percent(shares: Sequence[bool]) -> float:
    """How many of them hold."""
    return 100 * float(np.mean(shares))


def result_of(
    found: dict[str, list[LatencyEstimate]],
    loops: dict[str, list[float]],
    seconds: Sequence[float],
    loaded: Sequence[bool],
) -> dict[str, Any]:
    """The numbers."""
    medians = {name: statistics.median(one.value_ms for one in some) for name, some in found.items()}
    within = [abs(one.value_ms / medians[name] - 1) <= 0.01 for name, some in found.items() for one in some]
    covered = {name: holds(some) for name, some in found.items()}
    widths = [50 * (one.high_ms - one.low_ms) / one.value_ms for some in found.values() for one in some]
    every = {name: statistics.median(one.all_ms or one.value_ms for one in some) for name, some in found.items()}
    biases = [
        100 * (statistics.geometric_mean(some[name] / statistics.median(loop) for name, loop in loops.items()) - 1)
        if all(loops.values())
        else None
        for some in (medians, every)
    ]
    return {
        "files": len(found),
        "validations": len(within),
        "within1_percent": percent(within),
        "coverage_percent": percent([one for some in covered.values() for one in some]),
        "first_percent": percent([some[0] for some in covered.values()]),
        "half_width_percent": statistics.median(widths),
        "bias_percent": biases[0],
        "all_bias_percent": biases[1],
        "seconds": statistics.median(seconds),
        "other_load_percent": percent(loaded),
    }


def again(device: str, paths: Sequence[Path], times: int, over_s: float) -> dict[str, Any]:
    """Validate every file so often, evenly over the time, in an order drawn anew each time."""
    target = make_target(device, runtime=EngineName.LITERT)
    local = load_profile(device).transport == "local"
    found: dict[str, list[LatencyEstimate]] = {path.name: [] for path in paths}
    loops: dict[str, list[float]] = {path.name: [] for path in paths}
    seconds: list[float] = []
    loaded: list[bool] = []
    rng, began, slot_s = random.Random(0), time.monotonic(), over_s / (times * len(paths))
    for turn in range(times):
        for place, path in enumerate(rng.sample(list(paths), len(paths))):
            time.sleep(max(0.0, began + (turn * len(paths) + place) * slot_s - time.monotonic()))
            if local and turn % 2:
                loops[path.name].append(loop_ms(path))
            start = time.monotonic()
            validation = validate(path, target)
            latency = validation.estimate
            loaded.append("other-load" in {warning.code for warning in validation.warnings})
            seconds.append(time.monotonic() - start)
            found[path.name].append(latency)
            if local and not turn % 2:
                loops[path.name].append(loop_ms(path))
            print(
                f"{turn + 1} {path.name}: {latency.value_ms:.4f} ({latency.low_ms:.4f} to {latency.high_ms:.4f}) "
                f"states {latency.state_percent:.2f} %, loop {loops[path.name][-1:]}",
                file=sys.stderr,
            )
    return result_of(found, loops, seconds, loaded)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="local", help="a device's name, or the path of a profile")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--times", type=int, default=10, help="how often each is validated")
    parser.add_argument("--over", default="60m", help="in how long")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EDGEWIDTH_CACHE"] = folder
        paths = [Path(folder) / f"{number}.tflite" for number in range(options.files)]
        for path, model in zip(paths, make_variants(options.files, 96), strict=True):
            path.write_bytes(model.content())
        result = again(options.device, paths, options.times, duration(options.over))
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
