#!/usr/bin/env python3
"""Does a measurement repeat itself, and do its intervals hold?

On a device whose clock counts instructions, 20 variants are measured in two boots:

    spread_percent    the largest difference between the two, of any variant

On another device, 60 variants are measured in two campaigns some minutes apart, by the policy and by the median of one
150 ms visit in a fresh process:

    sigma_ratio       standard deviation of the log ratio between the campaigns: the policy's over the naive one's
    sigma_percent     those two themselves
    time_ratio        device time of the policy over the naive way's
    coverage_percent  variants whose two estimates differ by no more than their 95 % intervals, combined as for a
                      difference of independent values, allow
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewidth.devices.device import open_device
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.estimate import estimate, scatter_of
from edgewidth.devices.measure.policy import Policy, default_policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import load_profile
from edgewidth.files import cache_folder
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.families.registry import search_space
from edgewidth.records.measurement import Clock, Engine, FormatName, Precision, Runtime, Statistic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.records.measurement import LatencyEstimate, Visit

POLICY = Policy(rounds=3, remeasure=0.33)
"""Four visits of 100 ms, more only while none was undisturbed: less than three times one of 150 ms with its warm-up."""
NAIVE = Policy(rounds=1, visit_ms=150, remeasure=0)


def make_variants(count: int, resolution: int) -> list[Model]:
    """Random variants of MobileNet-v1, int8."""
    space = search_space("mobilenet_v1", resolution=resolution, in_channels=3, num_classes=10)
    factory = VariantFactory(space, Precision.INT8, FormatName.TFLITE, cache_folder())
    rng = np.random.default_rng(0)
    contents = {str(config): factory.variant(config) for config in (space.sample(rng) for _ in range(count))}
    return [Model(key, partial(bytes, content)) for key, content in contents.items()]


def campaign(profile: DeviceProfile, models: Sequence[Model], policy: Policy) -> Mapping[str, Sequence[Visit]]:
    """Measure everything once, in a store of its own, on a device opened for it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_device(profile) as device,
        MeasurementStore(Path(folder) / "measurements.sqlite") as store,
    ):
        setting = device.setting(Engine(runtime=Runtime.LITERT), Precision.INT8, 1)
        measure(device, setting, models, store, policy=policy)
        return store.visits(setting)


def estimates(visits: Mapping[str, Sequence[Visit]]) -> dict[str, LatencyEstimate]:
    """The median latency of every variant, with the scatter of all in every interval."""
    known = scatter_of(visits.values(), Statistic.MEDIAN)
    return {key: estimate(some, Statistic.MEDIAN, known=known) for key, some in visits.items()}


def busy_s(visits: Mapping[str, Sequence[Visit]]) -> float:
    """Seconds that the device measured and warmed up."""
    return sum(sum(visit.warmup_ns) + sum(visit.runs_ns) for some in visits.values() for visit in some) / 1e9


def log_ratios(first: Mapping[str, LatencyEstimate], second: Mapping[str, LatencyEstimate]) -> np.ndarray:
    """By how much the campaigns differ, for every variant."""
    return np.array([math.log(first[key].value_ms / second[key].value_ms) for key in first])


def agree(first: LatencyEstimate, second: LatencyEstimate) -> bool:
    """Whether two estimates differ by no more than their intervals allow."""
    halves = [math.log(one.high_ms / one.low_ms) / 2 for one in (first, second)]
    return abs(math.log(first.value_ms / second.value_ms)) <= math.hypot(*halves)


def counted(profile: DeviceProfile, count: int, resolution: int) -> dict[str, Any]:
    """Two boots of a device that counts instructions."""
    models = make_variants(count, resolution)
    boots = [estimates(campaign(profile, models, default_policy(Clock.ICOUNT))) for _ in range(2)]
    spread = 100 * float(np.max(np.abs(np.expm1(log_ratios(boots[0], boots[1])))))
    return {"variants": len(models), "spread_percent": spread}


def timed(profile: DeviceProfile, count: int, resolution: int, pause_s: float) -> dict[str, Any]:
    """Two campaigns by the policy and two by one visit, minutes apart."""
    models = make_variants(count, resolution)
    found: dict[str, list[dict[str, LatencyEstimate]]] = {"policy": [], "naive": []}
    spent_s = dict.fromkeys(found, 0.0)
    for number in range(2):
        if number:
            time.sleep(pause_s)
        for way, policy in (("policy", POLICY), ("naive", NAIVE)):
            visits = campaign(profile, models, policy)
            found[way].append(estimates(visits))
            spent_s[way] += busy_s(visits)
            print(f"{way} campaign {number + 1}: {spent_s[way]:.0f} s of measuring so far", file=sys.stderr)
    sigma = {way: float(np.std(log_ratios(*pair))) for way, pair in found.items()}
    first, second = found["policy"]
    return {
        "variants": len(models),
        "sigma_ratio": sigma["policy"] / sigma["naive"],
        "sigma_percent": {way: 100 * value for way, value in sigma.items()},
        "time_ratio": spent_s["policy"] / spent_s["naive"],
        "coverage_percent": 100 * float(np.mean([agree(first[key], second[key]) for key in first])),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="local", help="a device's name, or the path of a profile")
    parser.add_argument("--variants", type=int, help="how many; 20 on an emulated device, else 60")
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--pause", type=float, default=120, help="seconds between the campaigns")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    profile = load_profile(options.device)
    if profile.clock is Clock.ICOUNT:
        result = counted(profile, options.variants or 20, options.resolution)
    else:
        result = timed(profile, options.variants or 60, options.resolution, options.pause)
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
