"""A small experiment on the digits: one supernet, one budget, nothing trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from protocol import Experiment, Protocol

from edgewidth.data.split import load_images
from edgewidth.records.measurement import LatencyEstimate

MEASURED = LatencyEstimate.model_validate(
    {"statistic": "median", "value_ms": 1, "low_ms": 1, "high_ms": 1, "visits": 1, "runs": 1}
)
PROTOCOL: dict[str, Any] = {
    "name": "small",
    "data": "digits",
    "data_fingerprint": load_images("digits", resolution=16, seed=0).fingerprint,
    "images": (0, 0, 0, 0),
    "device": "fake",
    "resolution": 16,
    "min_width": 0.3,
    "max_width": 1.0,
    "levels": 2,
    "budgets": (0.5,),
    "seeds": (0,),
    "passes": 4,
    "recipe": "",
}


def small_experiment(folder: Path, *methods: str) -> Experiment:
    """One supernet, one budget, four passes after rivals."""
    protocol = Protocol(**PROTOCOL, methods=methods, supernets=1)
    return Experiment.begin(folder / "small", protocol)
