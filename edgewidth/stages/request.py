"""What is asked of a run, written so that it can be asked again."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from edgewidth.devices.engines.table import support_of
from edgewidth.records.artifact import MAX_INT8_DROP_POINTS
from edgewidth.records.run import Narrowing, RunRequest

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.budget import BudgetRequest
    from edgewidth.stages.target import Target
    from edgewidth.training.recipes import Recipe

_PACKAGES = ("edgewidth", "torch", "tensorflow", "ai-edge-litert", "onnx", "onnxruntime", "numpy")
"""What trains, converts, and runs files on this machine: a new format or framework adds its packages."""


def make_request(
    target: Target,
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    *,
    budget: BudgetRequest,
    narrowing: Narrowing | None = None,
    rivals: float = 0.0,
    max_int8_drop_points: float = MAX_INT8_DROP_POINTS,
    seed: int,
    command: str,
) -> RunRequest:
    """The contents of ``run.json``; ``command`` is what asks for this run again.

    ``rivals``: what they cost at most, as a share of the final training; 0: there are none.
    """
    from edgewidth.data.split import data_facts  # noqa: PLC0415  a light module in a heavy room

    return RunRequest(
        space=space,
        data=data_facts(data),
        device=target.profile.name,
        runtime=support_of(target.engine).name,
        accelerator=target.engine.accelerator,
        precision=target.precision,
        threads=target.threads,
        budget=budget,
        statistic=target.statistic,
        recipe=recipe.name,
        narrowing=narrowing,
        rivals=rivals,
        max_int8_drop_points=max_int8_drop_points,
        seed=seed,
        command=command,
        versions={name: version for name in _PACKAGES if (version := _version(name))},
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
