"""The stage that trains the supernet and estimates what every width costs in loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.errors import MismatchError
from edgewidth.latency.curve import Curve
from edgewidth.progress import SILENT, Progress
from edgewidth.records.losses import NarrowedFor
from edgewidth.records.provenance import Provenance, differences
from edgewidth.records.run import Narrowing
from edgewidth.records.training import NARROWING, START, UNIFORM
from edgewidth.records.weights_file import begun_with, supernet_provenance
from edgewidth.search.feasible import check_feasible
from edgewidth.search.problem import InfeasibleError
from edgewidth.stages.ledger import TRAIN, clear, refusal
from edgewidth.stages.search import answer_no, cost_problem

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.losses.focus import Focus
    from edgewidth.records.budget import Budget
    from edgewidth.records.losses import NarrowingStep, UnaryLosses
    from edgewidth.records.table import LatencyTable
    from edgewidth.stages.folder import RunFolder
    from edgewidth.training.narrowing import NarrowingSampler
    from edgewidth.training.recipes import Recipe


LEAST_EVALUATIONS = 24
"""Configurations evaluated each time that the range narrows; a quarter of the most in the end, if more."""


@dataclass(frozen=True)
class Aim:
    """The device and the budget near which losses should be known best."""

    table: LatencyTable
    budget: Budget
    narrowing: Narrowing | None = field(default_factory=Narrowing)
    """How the supernet is trained for them, and serves no others; None: it serves any."""


def train(
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    folder: RunFolder,
    *,
    seed: int = 0,
    aim: Aim | None = None,
    weights: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> UnaryLosses:
    """Train the supernet and evaluate configurations; writes ``supernet.safetensors`` and ``losses.json``.

    Goes on from a checkpoint if the folder holds one. With an aim most of the configurations are evaluated near its
    budget; if it asks for narrowing, the supernet is trained for it, and otherwise serves any device and budget.
    ``weights`` is a file to begin with, see ``edgewidth.training.networks.pretrained``. With ``force`` all is done
    again, and what there was is removed once it is known that everything given fits.

    Raises:
        InputError: There is one configuration, or ``force`` would remove the weights to begin with.
        FileError: Weights that do not fit.
        TrainingError: The loss is not finite or diverges.
        MismatchError: The aim's table is of another space, or the folder's supernet was trained otherwise.
        InfeasibleBudgetError: No configuration is predicted within the aim's budget.
    """
    from edgewidth.training.evaluation import evaluate_losses  # noqa: PLC0415
    from edgewidth.training.loop.processes import join  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.training.provenance import supernet_training  # noqa: PLC0415
    from edgewidth.training.train import train_supernet  # noqa: PLC0415

    _check_space(space, aim)
    focus = budget_focus(aim.table, aim.budget, data.task.output_names) if aim else None
    if force:
        _clear(folder, space, weights)
    found = supernet_provenance(folder.supernet) if folder.supernet.exists() else None
    # A supernet that began with weights of one's own is used without naming them again.
    start = begun_with(folder.supernet if found else None, weights)
    training = supernet_training(data, recipe, seed=seed, start=start)
    sampler = _sampler(space, data, recipe, folder, aim, focus, seed, training, progress) if aim and focus else None
    if found:
        _check_trained(folder.supernet, found, training.extended({NARROWING: sampler.identity if sampler else UNIFORM}))
    else:
        train_supernet(
            space,
            data,
            recipe,
            supernet_out=folder.supernet,
            log=folder.training_log,
            trained_out=folder.trained,
            trained_log=folder.trained_log,
            checkpoints=folder.checkpoints,
            seed=seed,
            progress=progress,
            sampler=sampler,
            weights=weights,
        )
    losses = evaluate_losses(
        space,
        data,
        supernet=folder.supernet,
        evaluations=folder.evaluations,
        seed=seed,
        progress=progress,
        most=recipe.evaluations,
        focus=focus,
    )
    losses = losses.model_copy(update=_told(folder.supernet, sampler, aim))
    join().on_first(lambda: losses.write(folder.losses))
    return losses


def _told(supernet: Path, sampler: NarrowingSampler | None, aim: Aim | None) -> dict[str, object]:
    """What ``losses.json`` records of the supernet: what it was made of, and how and for what its widths narrowed."""
    told: dict[str, object] = {"provenance": supernet_provenance(supernet)}
    if sampler and aim:
        told["narrowing"] = _steps(sampler, aim.table)
        told["narrowed"] = NarrowedFor(setting=aim.table.setting, budget=aim.budget, schedule=aim.narrowing)
    return told


def check_weights(space: SearchSpace, weights: Path) -> None:
    """Hold weights to begin with against the search space.

    Raises:
        FileError: They do not fit.
    """
    from edgewidth.training.networks.pretrained import start_from  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.training.networks.supernet import Supernet  # noqa: PLC0415

    start_from(Supernet(space), weights)


def _clear(folder: RunFolder, space: SearchSpace, weights: Path | None) -> None:
    """Remove what this stage wrote, and what was judged by it; if the weights to begin with do not fit, nothing."""
    from edgewidth.training.loop.processes import join  # noqa: PLC0415  torch loads when it is needed

    if weights:
        check_weights(space, weights)
    join().on_first(lambda: clear(folder, TRAIN, needed=weights))


def _steps(sampler: NarrowingSampler, table: LatencyTable) -> tuple[NarrowingStep, ...]:
    """The sampler's fields, their sums of the table's entries told as latencies."""
    curve = Curve.of(table)
    return tuple(step.model_copy(update={"mean_ms": float(curve.latency_ms(step.mean_ms))}) for step in sampler.steps)


def _check_trained(supernet: Path, found: Provenance, asked: Provenance) -> None:
    """Refuse a supernet that is there already if it was trained otherwise.

    One that does not say how was trained in a loop of someone's own: on images that they know, with random weights to
    begin with and without narrowing as far as anybody can tell.
    """
    says = Provenance(inputs={START: "", NARROWING: UNIFORM}).made_of | found.made_of
    if other := differences(asked.made_of, says):
        raise refusal(
            f"{supernet} was trained otherwise",
            other,
            remedy="Finish it by the command that began it, or choose another `out`, or edgewidth train with `force`.",
        )


def budget_focus(table: LatencyTable, budget: Budget, output_names: tuple[str, ...]) -> Focus:
    """The budget near which losses should be known well, with what every configuration costs by the table.

    Raises:
        InfeasibleBudgetError: No configuration is predicted within the budget.
    """
    from edgewidth.losses.focus import Focus  # noqa: PLC0415  a light module in a heavy room

    curve = Curve.of(table)
    problem = cost_problem(table, budget.limits, output_names)
    budget_ms = curve.sum_ms(budget.latency_ms)
    try:
        check_feasible(problem, budget_ms)
    except InfeasibleError as error:
        raise answer_no(budget, curve, error) from error
    return Focus(problem, (budget_ms,), "latency")


def _check_space(space: SearchSpace, aim: Aim | None) -> None:
    """Whether there is anything to choose, and by a table of just that."""
    space.check_choice()
    if aim and aim.table.space.fingerprint != space.fingerprint:
        raise MismatchError(
            f"The latency table is of another search space; {space.differences(aim.table.space)}.",
            remedy="Give the same `network`, `resolution`, widths and `data` as to edgewidth profile.",
        )


def _sampler(
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    folder: RunFolder,
    aim: Aim,
    focus: Focus,
    seed: int,
    training: Provenance,
    progress: Progress,
) -> NarrowingSampler | None:
    from edgewidth.training.narrowing import NarrowingSampler, Schedule  # noqa: PLC0415  torch loads when it is needed

    if not aim.narrowing:
        return None
    evaluations = max(LEAST_EVALUATIONS, recipe.evaluations // 4)
    narrowing, table = aim.narrowing, aim.table
    values = [entry.values_ms for entry in table.entries]
    return NarrowingSampler(
        space,
        data,
        focus,
        folder=folder.checkpoints,
        schedule=Schedule(narrowing.begin, last_temperature=narrowing.last_temperature, evaluations=evaluations),
        seed=seed,
        key=f"{table.offset_ms!r} {table.curve!r} {values!r} {aim.budget!r}",
        training=training,
        progress=progress,
    )
