#!/usr/bin/env python3
"""How much of a campaign's wall time the device spends measuring or warming up: 100 variants at 96 px.

busy_share      that part, from the first call to the last byte; the variants are made beforehand
wall_s          of the campaign
visits          made in it
overhead_ms     per visit: loading, process start, reading the device's state, orders and output
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from edgewidth.devices.device import open_device
from edgewidth.devices.engines.table import engine_named
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import load_profile
from edgewidth.files import cache_folder
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.families.registry import search_space
from edgewidth.records.measurement import Accelerator, EngineName, FormatName, Precision


def make_variants(count: int, precision: Precision) -> list[Model]:
    """Random variants of MobileNet-v1 at 96 pixels."""
    space = search_space("mobilenet_v1", resolution=96, in_channels=3, num_classes=10)
    factory = VariantFactory(space, precision, FormatName.TFLITE, cache_folder())
    rng = np.random.default_rng(0)
    contents = {str(config): factory.variant(config) for config in (space.sample(rng) for _ in range(count))}
    return [Model(key, partial(bytes, content)) for key, content in contents.items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="local", help="a device's name, or the path of a profile")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the profile")
    parser.add_argument("--variants", type=int, default=100)
    parser.add_argument("--accelerator", type=Accelerator, choices=list(Accelerator), help="the profile's by default")
    parser.add_argument("--precision", type=Precision, choices=list(Precision), default=Precision.INT8)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    profile = load_profile(options.device, overrides=dict(text.split("=", 1) for text in options.set))
    models = make_variants(options.variants, options.precision)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_device(profile) as device,
        MeasurementStore(Path(folder) / "measurements.sqlite") as store,
    ):
        engine = engine_named(profile, EngineName.LITERT, options.accelerator)
        setting = device.setting(engine, options.precision, 1)
        start = time.monotonic()
        measure(device, setting, models, store)
        wall_s = time.monotonic() - start
        visits = [visit for _, visit in store.named_visits(setting)]
    busy_s = sum(sum(visit.warmup_ns) + sum(visit.runs_ns) for visit in visits) / 1e9
    result = {
        "busy_share": busy_s / wall_s,
        "wall_s": wall_s,
        "visits": len(visits),
        "overhead_ms": 1e3 * (wall_s - busy_s) / len(visits),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value:.4g}" for key, value in result.items()))


if __name__ == "__main__":
    main()
