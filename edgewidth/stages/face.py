"""The stages as a program calls them: with paths, documents and plain values, each in a folder of its own or of a run.

A path is a ``Path`` or a text. A device is a ``Target`` or the name of a profile; images are ``ImageData`` or what
``load_images`` takes; a budget is written as on the command line. Whatever a stage raises passes through.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgewidth.data.split import ImageData, load_images
from edgewidth.documents import Document
from edgewidth.errors import InputError
from edgewidth.progress import SILENT, Progress
from edgewidth.records.artifact import MAX_INT8_DROP_POINTS
from edgewidth.records.budget import Budget, BudgetRequest
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import Precision, Statistic
from edgewidth.records.table import LatencyTable
from edgewidth.stages import export as exporting
from edgewidth.stages import finetune as finetuning
from edgewidth.stages import profile as profiling
from edgewidth.stages import refine as refining
from edgewidth.stages import report as reporting
from edgewidth.stages import run as running
from edgewidth.stages import search as searching
from edgewidth.stages import train as training
from edgewidth.stages import validate as validating
from edgewidth.stages.bench import open_bench
from edgewidth.stages.claim import locked
from edgewidth.stages.fleet import profile_devices
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.ledger import EXPORT, FINETUNE, SEARCH, refuse_existing, replacing
from edgewidth.stages.request import make_request
from edgewidth.stages.target import Target, make_target
from edgewidth.training.recipes import Recipe, load_recipe

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.artifact import Artifacts
    from edgewidth.records.report import Report
    from edgewidth.records.search import SearchResult
    from edgewidth.records.validation import ValidationReport
    from edgewidth.training.networks.plain import PlainNetwork

    AnyPath = str | os.PathLike[str]
    Images = ImageData | AnyPath | Mapping[str, ArrayLike]

D = TypeVar("D", bound=Document)


def run(
    out: AnyPath,
    *,
    device: Target | str = "local",
    data: Images = "digits",
    space: SearchSpace | None = None,
    budget: BudgetRequest | str = "60%",
    recipe: Recipe | str = "standard",
    seed: int = 0,
    force: bool = False,
    progress: Progress = SILENT,
) -> Report:
    """Everything, as ``edgewidth run`` does it: measure, train, search, refine, finetune, export, validate, report.

    Without ``space`` the network is MobileNet-v1 for these images. What ``out`` has of this run is not done again.
    """
    target, how = _target(device), _recipe(recipe)
    with locked(Path(out)) as folder:
        images = _images(data, seed, progress, space)
        options = f"device={target.profile.name!r}, data={images.source!r}, budget={str(budget)!r}, recipe={how.name!r}"
        request = make_request(
            target,
            space or space_for(images),
            images,
            how,
            budget=_budget(budget),
            seed=seed,
            command=f"edgewidth.run(Path({os.fspath(out)!r}), {options}, seed={seed})",
        )
        return running.run(running.Job(request, target, images, how), folder, force=force, progress=progress)


def profile(
    device: Target | str,
    space: SearchSpace,
    out: AnyPath,
    *,
    plan: profiling.ProfilePlan | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress = SILENT,
) -> LatencyTable:
    """Measure variants of ``space`` on a device and fit its latency table; goes on from what ``out`` has measured."""
    targets, plan = [_target(device)], plan or profiling.ProfilePlan()
    out = Path(out)
    profile_devices(targets, space, out, plan=plan, seed=seed, force=force, progress=progress)
    return LatencyTable.read(RunFolder(out).table)


def train(
    data: Images,
    space: SearchSpace,
    out: AnyPath,
    *,
    recipe: Recipe | str = "standard",
    weights: AnyPath | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress = SILENT,
) -> UnaryLosses:
    """Train a supernet and estimate what every width costs in loss; a supernet that ``out`` has is used.

    That may be one of your own, written by ``save_supernet`` as ``supernet.safetensors``.
    """
    with locked(Path(out)) as folder:
        images = _images(data, seed, progress, space)
        return training.train(
            space, images, _recipe(recipe), folder, seed=seed, weights=_path(weights), force=force, progress=progress
        )


def search(
    table: LatencyTable | AnyPath,
    losses: UnaryLosses | AnyPath,
    budget: BudgetRequest | str = "60%",
    *,
    out: AnyPath | None = None,
    force: bool = False,
) -> SearchResult:
    """The best configuration within a budget, with its certificate, the frontier and the baselines' choices.

    With ``out`` the result goes to its ``search.json``.
    """
    table, losses = _document(LatencyTable, table), _document(UnaryLosses, losses)
    within = searching.table_budget(_budget(budget), table)
    if out is None:
        return searching.search(table, losses, within)
    with locked(Path(out)) as folder, replacing(folder, SEARCH, force=force):
        result = searching.search(table, losses, within)
        result.write(folder.search)
        return result


def refine(
    device: Target | str,
    out: AnyPath,
    budget: BudgetRequest | str = "60%",
    *,
    plan: refining.RefinePlan | None = None,
    progress: Progress = SILENT,
) -> SearchResult:
    """Measure the best configurations near a budget and choose again, by the table and the losses in ``out``.

    A device that is given by its name is measured by the table's statistic.
    """
    with locked(Path(out)) as folder:
        table, losses = LatencyTable.read(folder.table), UnaryLosses.read(folder.losses)
        within = searching.table_budget(_budget(budget), table)
        target = _target(device, table.statistic)
        with open_bench(target, table.space, folder, setting=table.setting, progress=progress) as bench:
            return refining.refine(bench, table, losses, within, folder, plan=plan)


def finetune(
    config: ChannelConfig | SearchResult,
    data: Images,
    space: SearchSpace,
    out: AnyPath,
    *,
    supernet: AnyPath | None = None,
    weights: AnyPath | None = None,
    recipe: Recipe | str = "standard",
    seed: int = 0,
    force: bool = False,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train one configuration, from a supernet, from other weights or from scratch; writes ``weights.safetensors``."""
    with locked(Path(out)) as folder:
        refuse_existing(folder, FINETUNE, force=force)
        return finetuning.finetune(
            space,
            config if isinstance(config, tuple) else config.chosen.config,
            _images(data, seed, progress, space),
            _recipe(recipe),
            folder,
            supernet=_path(supernet),
            weights=_path(weights),
            seed=seed,
            force=force,
            progress=progress,
        )


def export(
    weights: AnyPath,
    data: Images,
    out: AnyPath,
    *,
    recipe: Recipe | str = "standard",
    max_int8_drop_points: float = MAX_INT8_DROP_POINTS,
    precision: Precision = Precision.INT8,
    seed: int = 0,
    force: bool = False,
    progress: Progress = SILENT,
) -> Artifacts:
    """Write the network of a ``weights.safetensors`` as ``.tflite`` and ``.onnx``: float32, int8 and ``precision``."""
    from edgewidth.training.networks.weights import load_plain  # noqa: PLC0415  torch loads when it is needed

    weights = Path(weights)
    space = load_plain(weights).space
    with locked(Path(out)) as folder, replacing(folder, EXPORT, force=force):
        return exporting.export(
            weights,
            _images(data, seed, progress, space),
            _recipe(recipe),
            folder,
            max_int8_drop_points=max_int8_drop_points,
            precision=precision,
            seed=seed,
            progress=progress,
        )


def validate(
    model: AnyPath,
    device: Target | str,
    budget: Budget | BudgetRequest | str | None = None,
    *,
    baseline: ValidationReport | None = None,
    most_regression_percent: float = validating.MOST_REGRESSION_PERCENT,
    out: AnyPath | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> ValidationReport:
    """Measure a model file as it is on a device, against a budget in milliseconds where one is given.

    That of a search's result is one; of a device that is given by its name the budget's statistic is measured. With an
    earlier validation as ``baseline`` it is told how much slower the file is, and whether by more than it may. With
    ``out`` the report goes to its ``validation.json``.
    """
    model = Path(model)
    target = _target(device, budget.statistic) if isinstance(budget, Budget) else _target(device)
    if isinstance(device, str):
        target = replace(target, engine=validating.engine_for(model, target.profile) or target.engine)
    measured = partial(
        validating.validate,
        model,
        target,
        budget=budget if budget is None or isinstance(budget, Budget) else _budget(budget).in_ms(target.statistic),
        baseline=baseline,
        most_regression_percent=most_regression_percent,
        progress=progress,
    )
    return validating.kept(measured, _path(out), force=force)


def report(out: AnyPath) -> Report:
    """Write ``report.json`` and ``report.html`` of a run folder, complete or not."""
    folder = Path(out)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", remedy="Give the folder that was the `out` of edgewidth run.")
    return reporting.report(RunFolder(folder))


def space_for(images: ImageData, network: str = "mobilenet_v1") -> SearchSpace:
    """The search space of a family of networks for these images, with the usual range of widths."""
    from edgewidth.graph.families.registry import search_space  # noqa: PLC0415  only where no space is given

    return search_space(
        network,
        resolution=images.resolution,
        in_channels=images.in_channels,
        num_classes=len(images.task.output_names),
    )


def _target(device: Target | str, statistic: Statistic = Statistic.MEDIAN) -> Target:
    """A device's name says nothing of how it is measured: then the ``statistic`` is that of what it is held against."""
    return make_target(device, statistic=statistic) if isinstance(device, str) else device


def _images(data: Images, seed: int, progress: Progress, space: SearchSpace | None = None) -> ImageData:
    if isinstance(data, ImageData):
        return data
    resolution = space.network.resolution if space else None
    return load_images(data, resolution=resolution, seed=seed, progress=progress)


def _budget(budget: BudgetRequest | str) -> BudgetRequest:
    return BudgetRequest.parse(budget) if isinstance(budget, str) else budget


def _recipe(recipe: Recipe | str) -> Recipe:
    return load_recipe(recipe) if isinstance(recipe, str) else recipe


def _path(given: AnyPath | None) -> Path | None:
    return None if given is None else Path(given)


def _document(kind: type[D], given: D | AnyPath) -> D:
    return kind.read(Path(given)) if isinstance(given, (str, os.PathLike)) else given
