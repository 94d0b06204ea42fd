"""The stage that closes the loop for accuracy: rivals near the budget are trained briefly, and the losses learn.

What a search can gain near a budget is often less than what the supernet gets wrong there. So the configurations that
might be chosen, those that other methods would choose, and some that tell much of all the others are trained on one
short schedule and judged on images that no search has seen; the worse half is dropped at every rung (successive
halving: Jamieson and Talwalkar 2016, arXiv 1502.07943). The losses are corrected by what they scored, a search by
these finds new rivals, and the losses are corrected once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.progress import SILENT, Progress
from edgewidth.records.losses import Rival, Rivals
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import FINAL_RECIPE, IMAGES, SEED
from edgewidth.records.weights_file import begun_with
from edgewidth.stages.search import search
from edgewidth.stages.train import budget_focus
from edgewidth.streams import Purpose, stream

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig
    from edgewidth.losses.correction import Observed
    from edgewidth.losses.focus import Focus
    from edgewidth.records.budget import Budget
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.table import LatencyTable
    from edgewidth.stages.folder import RunFolder
    from edgewidth.training.recipes import Phase, Recipe

SHARE = "rivals"
"""The name of the option: their training over the final one, in images seen."""
FIRST, SECOND = 8, 4
"""How many race in the first round, and how many more in the second."""
RUNGS = (0.25, 0.5, 1.0)
"""After which parts of the schedule they are judged."""
FEWEST_STEPS = 96
"""On a shorter schedule the warm-up is still felt: after 27 steps on the digits rivals ranked as by chance."""
TEMPERATURE = 0.15
"""The temperature of draws near the budget, in standard deviations of the loss of uniformly drawn configurations."""
POOL = 256
"""From so many draws those that tell most are taken."""
FORWARD = 1 / 2
"""What an image costs that is only looked at, against one that is trained on: 0.45 at 32 px on two cores."""


class Entrant(NamedTuple):
    """A configuration that is to race, whose choice it is, and in which race from 1."""

    config: ChannelConfig
    methods: tuple[str, ...]
    race: int


@dataclass(frozen=True)
class _Loop:
    """Whom to send into a race, by what is known."""

    table: LatencyTable
    budget: Budget
    focus: Focus
    seed: int

    def entrants(self, losses: UnaryLosses, known: tuple[Entrant, ...], count: int) -> list[Entrant]:
        """``count`` new ones: what the methods choose by these losses, then what tells most of all near the budget.

        In the first race that is what every method chooses, in the second what a search by corrected losses does.
        """
        from edgewidth.losses.correction import loss_factors, most_telling  # noqa: PLC0415  scipy loads when needed

        result = search(self.table, losses, self.budget)
        before = {one.config for one in known}
        race = 1 + max((one.race for one in known), default=0)
        if known:
            best = [result.chosen.config, *(one.config for one in result.alternatives)]
            new = [config for config in best if config not in before][: count // 2]
            found = [Entrant(config, ("corrected",), race) for config in new]
        else:
            methods: dict[ChannelConfig, list[str]] = {}
            for method, choice in {"exact": result.chosen, **result.baselines}.items():
                methods.setdefault(choice.config, []).append(method)
            found = [Entrant(config, tuple(of), race) for config, of in methods.items()]
        rng = stream(self.seed, Purpose.RIVALS, len(known))
        factors = loss_factors(losses)
        drawn = self.focus.field(factors, self.focus.budgets[0], TEMPERATURE).sample(POOL, rng)
        within = drawn[self.focus.problem.latency_ms(drawn) <= self.focus.budgets[0]]
        taken = [*before, *(one.config for one in found)]
        telling = most_telling(losses, [losses.space.config(one) for one in within], taken, count - len(found))
        return [*found, *(Entrant(config, ("drawn",), race) for config in telling)]


def learn_from_rivals(
    table: LatencyTable,
    losses: UnaryLosses,
    budget: Budget,
    data: ImageData,
    recipe: Recipe,
    folder: RunFolder,
    *,
    share: float,
    seed: int,
    progress: Progress = SILENT,
) -> UnaryLosses:
    """Train rivals of the supernet in ``folder``, and correct the losses; writes ``losses.json`` again.

    ``share`` bounds what they cost: images seen, over those of the final training. Where that is too little for any
    schedule, the losses stay as they are. Goes on from what an interrupted loop has scored.

    Raises:
        FileError, MismatchError: The supernet is missing, or of another space.
        InfeasibleBudgetError: No configuration is predicted within the budget.
        TrainingError: A loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    from edgewidth.losses.correction import judge_rivals  # noqa: PLC0415  scipy loads when it is needed
    from edgewidth.training.loop.processes import join  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.training.rivals import RivalTraining  # noqa: PLC0415

    phase = recipe.phases(trained=bool(begun_with(folder.supernet))).finetune
    trained = folder.trained if folder.trained.exists() else None
    rungs = schedule(data, phase, share, compared=trained is not None)
    if not rungs:
        progress.say(f"No rivals are trained: {share:.0%} of the final training is too short for any.")
        return losses
    provenance = Provenance(
        inputs={"supernet": file_digest(folder.supernet), IMAGES: data.fingerprint},
        options={SHARE: share, SEED: seed, FINAL_RECIPE: repr(phase)},
    )
    training = RivalTraining(
        losses.space,
        data,
        phase,
        rungs=rungs,
        supernet=folder.supernet,
        trained=trained,
        kept=folder.rival_scores,
        checkpoints=folder.checkpoints,
        provenance=provenance.extended({"losses": losses.digest}, {"budget": str(budget)}),
        seed=seed,
    )
    loop = _Loop(table, budget, budget_focus(table, budget, losses.class_names), seed)
    known: tuple[Entrant, ...] = ()
    learned = losses
    with progress.task("Training rivals", sum(race_steps(count, rungs) for count in (FIRST, SECOND))) as task:
        for count in (FIRST, SECOND):
            entrants = loop.entrants(learned, known, count)
            known += tuple(entrants)
            training.race([one.config for one in entrants], task)
            observed = training.scores.observed
            rivals = Rivals(
                provenance=provenance,
                budget=budget,
                images=len(data.holdout),
                rungs=rungs,
                rivals=_raced(losses, known, observed),
                seconds=training.scores.seconds,
                **judge_rivals(losses, observed)._asdict(),
            )
            learned = losses.model_copy(update={"rivals": rivals})
    if learned.rivals:
        progress.say(_told(learned.rivals))
    join().on_first(lambda: learned.write(folder.losses))
    return learned


def _raced(losses: UnaryLosses, entrants: Sequence[Entrant], observed: Sequence[Observed]) -> tuple[Rival, ...]:
    from edgewidth.losses.record import predicted_excess  # noqa: PLC0415  scipy loads when it is needed

    predicted = predicted_excess(losses, [one.config for one in entrants])
    return tuple(
        Rival(
            config=one.config,
            methods=one.methods,
            race=one.race,
            supernet_loss=float(loss),
            losses=tuple(seen.loss for seen in observed if seen.config == one.config),
        )
        for one, loss in zip(entrants, predicted, strict=True)
    )


def _told(rivals: Rivals) -> str:
    """What was learned, in a line."""
    ranks = (
        f"{len(rivals.rivals)} rivals were trained: their losses rank as the supernet's with a correlation of "
        f"{rivals.supernet_spearman:.2f}"
    )
    if not rivals.correction.is_sure:
        return f"{ranks}, which is too little to correct these."
    return f"{ranks}, as the corrected ones with {rivals.corrected_spearman:.2f}."


def schedule(data: ImageData, phase: Phase, share: float, *, compared: bool) -> tuple[int, ...]:
    """After how many steps rivals are judged, so that all together cost ``share`` of the final training at most.

    Empty: the share is too small. What is only looked at, to judge them, counts as ``FORWARD`` of what is trained on.
    ``compared``: each may begin with one of two networks, which are judged first.
    """
    from edgewidth.training.rivals import MOMENT_IMAGES  # noqa: PLC0415  torch loads when it is needed

    batch = min(phase.batch, len(data.train))
    final = phase.epochs(len(data.train)) * (len(data.train) // batch) * batch
    judged = sum(_halved(count, rung) for count in (FIRST, SECOND) for rung in range(len(RUNGS)))
    moments = min(MOMENT_IMAGES, len(data.train))
    looked_at = FORWARD * judged * (moments + len(data.holdout))
    if compared:
        looked_at += FORWARD * 2 * (FIRST + SECOND) * (moments + len(data.search))
    whole = sum(_race(count, RUNGS) for count in (FIRST, SECOND))
    steps = int((share * final - looked_at) / (whole * batch))
    return tuple(max(1, round(part * steps)) for part in RUNGS) if steps >= FEWEST_STEPS else ()


def race_steps(count: int, rungs: tuple[int, ...]) -> int:
    """How many steps a race of ``count`` rivals takes."""
    return round(_race(count, tuple(map(float, rungs))))


def _race(count: int, rungs: tuple[float, ...]) -> float:
    lengths = np.diff([0.0, *rungs])
    return float(sum(_halved(count, rung) * length for rung, length in enumerate(lengths)))


def _halved(count: int, rung: int) -> int:
    for _ in range(rung):
        count = max(1, -(-count // 2))
    return count
