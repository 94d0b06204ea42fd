"""The stage that trains the supernet and estimates what every width costs in loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewidth.errors import MismatchError
from edgewidth.latency.predict import Predictor
from edgewidth.progress import SILENT, Progress
from edgewidth.stages.search import Question, infeasible

if TYPE_CHECKING:
    from edgewidth.records.budget import Budget
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.network import SearchSpace
    from edgewidth.records.table import LatencyTable
    from edgewidth.training.data import ImageData
    from edgewidth.training.narrowing import NarrowingSampler
    from edgewidth.training.recipes import Recipe


LEAST_EVALUATIONS = 24
"""Configurations evaluated each time that the range narrows; a quarter of those evaluated in the end, if more."""


@dataclass(frozen=True)
class Aim:
    """The device and the budget that a supernet is trained for."""

    table: LatencyTable
    budget: Budget
    begin: float = 0.4
    """The share of training after which the range of widths narrows."""
    last_temperature: float = 0.1
    """How narrow it becomes: see ``edgewidth.training.narrowing``."""


def train(
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    folder: RunFolder,
    *,
    seed: int = 0,
    aim: Aim | None = None,
    progress: Progress = SILENT,
) -> UnaryLosses:
    """Train the supernet and evaluate configurations; writes ``supernet.safetensors`` and ``losses.json``.

    Goes on from a checkpoint if the folder holds one. With an aim the range of widths narrows while training goes
    on, and the supernet serves that device and budget; without one it serves any.

    Raises:
        TrainingError: The loss is not finite or diverges.
        MismatchError: The aim's table is of another space.
        InfeasibleBudgetError: No configuration is predicted within the aim's budget.
    """
    from edgewidth.training.train import train_supernet  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.training.unary import evaluate_losses  # noqa: PLC0415

    fewer = max(LEAST_EVALUATIONS, recipe.evaluations // 4)
    sampler = _sampler(space, data, folder, aim, fewer, seed, progress) if aim else None
    if folder.supernet.exists():
        if sampler and not sampler.steps:
            raise MismatchError(
                f"{folder.supernet} was trained without this table, budget or schedule.",
                remedy="Choose another --out, or --force to train again.",
            )
    else:
        train_supernet(space, data, recipe, folder=folder, seed=seed, progress=progress, sampler=sampler)
    losses = evaluate_losses(
        space,
        data,
        folder=folder,
        seed=seed,
        progress=progress,
        count=recipe.evaluations,
        focus=sampler.last_field if sampler else None,
    )
    losses = losses.model_copy(update={"narrowing": sampler.steps if sampler else ()})
    losses.write(folder.losses)
    return losses


def _sampler(
    space: SearchSpace,
    data: ImageData,
    folder: RunFolder,
    aim: Aim,
    evaluations: int,
    seed: int,
    progress: Progress,
) -> NarrowingSampler:
    from edgewidth.training.narrowing import NarrowingSampler, Schedule  # noqa: PLC0415  torch loads when it is needed

    table = aim.table
    if table.space.fingerprint != space.fingerprint:
        raise MismatchError(
            f"The latency table is of another search space ({table.space.fingerprint}, here {space.fingerprint}).",
            remedy="Give the same --network, --resolution, widths and --data as to edgewidth profile.",
        )
    quickest = float(Predictor(table).predict([space.smallest]).mean_ms[0])
    if quickest > aim.budget.latency_ms:
        raise infeasible(aim.budget, quickest, "predicted")
    return NarrowingSampler(
        space,
        data,
        lambda losses: Question(table, losses, aim.budget.limits).problem,
        aim.budget.latency_ms,
        folder=folder.checkpoints,
        schedule=Schedule(begin=aim.begin, last_temperature=aim.last_temperature, evaluations=evaluations),
        seed=seed,
        key=f"{table.offset_ms!r} {[entry.values_ms for entry in table.entries]!r} {aim.budget!r}",
        progress=progress,
    )
