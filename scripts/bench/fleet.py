#!/usr/bin/env python3
"""Several devices side by side: does the host keep up with 8 as with one?

Fake devices whose clock runs as fast as the real one; each is measured in a thread with a store of its own, as
``edgewidth profile --device a --device b`` does.

    devices, seconds    1, 2, 4 and 8 devices, and how long their campaigns took
    ratio_8             8 devices over one
    cores               of this machine
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewidth.devices.device import Device
from edgewidth.devices.fake.transport import FakeTransport
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.records.measurement import Engine, Precision, Runtime

COUNTS = (1, 2, 4, 8)


def one_layer(width: int) -> bytes:
    """A convolution of this width."""
    kernel = numpy_helper.from_array(np.zeros((width, 16, 3, 3), np.float32), "kernel")
    shapes = [("input", [1, 16, 64, 64]), ("output", [1, width, 64, 64])]
    source, target = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    node = helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[1, 1, 1, 1])
    return bytes(helper.make_model(helper.make_graph([node], "one", [source], [target], [kernel])).SerializeToString())


def measure_one(number: int, folder: Path, models: list[Model]) -> None:
    """One device's campaign."""
    transport = FakeTransport(folder / f"device{number}", seed=number, pace=1.0)
    profile = DeviceProfile(name=f"fake{number}", transport="fake")
    with MeasurementStore(folder / f"{number}.sqlite") as store:
        device = Device(profile, transport, transport.facts())
        setting = device.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
        measure(device, setting, models, store)
        missing = [model.key for model in models if model.key not in store.visits(setting)]
    if missing:
        sys.exit(f"device {number} did not measure {missing}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    contents = {f"{8 * i}": one_layer(8 * i) for i in range(1, options.models + 1)}
    models = [Model(key, partial(bytes, content)) for key, content in contents.items()]
    seconds = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(count) as pool:
            start = time.monotonic()
            list(pool.map(lambda number: measure_one(number, Path(folder), models), range(count)))
            seconds.append(time.monotonic() - start)
    result = {"devices": COUNTS, "seconds": seconds, "ratio_8": seconds[-1] / seconds[0], "cores": os.cpu_count()}
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
