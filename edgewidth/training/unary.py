"""The evaluation phase: many configurations of a trained supernet meet the same images.

That every configuration is judged by the same images, with statistics of batch normalisation from the same
training images, and that the maximum network's loss on them is subtracted, removes most of the noise. Rounds of
evaluations go on until those losses that they leave possible would all choose alike near the budget.
"""

from __future__ import annotations

import hashlib
import json
from itertools import chain, count, cycle, islice
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.progress import SILENT
from edgewidth.records.files import write_atomic
from edgewidth.records.losses import BudgetDoubt, EvaluationPhase, EvaluationRound
from edgewidth.records.network import ChannelConfig
from edgewidth.training.evaluator import Evaluator
from edgewidth.training.focus import macs_focus
from edgewidth.training.layers import compute_device
from edgewidth.training.loss_fit import Evaluations, fit_losses
from edgewidth.training.loss_record import record_losses
from edgewidth.training.processes import join
from edgewidth.training.weights import load_supernet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edgewidth.progress import Progress, Task
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.losses import HeldOutKind, UnaryLosses
    from edgewidth.records.network import SearchSpace
    from edgewidth.training.data import ImageData
    from edgewidth.training.focus import Focus
    from edgewidth.training.loss_fit import LossFit
    from edgewidth.training.processes import Processes

FIRST = 24
"""Configurations fitted before any is drawn near a budget …"""
ROUND = 16
"""… and in every round from then on."""
HELD_OUT_SHARE, HELD_OUT_MOST = 1 / 6, 50
"""The share of the most evaluations that is held out, and its most, of either kind."""
TRIES = 20
"""Draws for every new configuration, at most."""
NEAREST = 0.25
"""How far, in steps of the whole range, widths of a configuration drawn near a uniform one lie from it."""


def evaluate_losses(
    space: SearchSpace,
    data: ImageData,
    *,
    folder: RunFolder,
    seed: int,
    progress: Progress = SILENT,
    most: int = 140,
    focus: Focus | None = None,
) -> UnaryLosses:
    """Evaluate configurations of the supernet in ``folder`` until the choice is settled, and fit the unary losses.

    Every evaluation is kept in the folder's checkpoints as it comes, and not repeated after an interruption.

    Args:
        space: Of the supernet.
        data: Search images judge the configurations.
        folder: Has the supernet.
        seed: Of which configurations.
        progress: Where to report to.
        most: Evaluations, the held-out ones among them.
        focus: Near which budgets the losses should be known best; some shares of multiply-accumulates if None.

    Raises:
        FileError: There is no supernet, or it cannot be read.
        MismatchError: The supernet is of another space.
        StorageError: A file cannot be written.
        InfeasibleError: No configuration keeps a budget of the focus.
    """
    processes = join()
    supernet = load_supernet(folder.supernet, space).to(compute_device())
    evaluator = Evaluator(supernet, data)
    focus = focus or macs_focus(space)
    identity = "\n".join([_sha256(folder.supernet), data.fingerprint, str(evaluator.images), str(seed)])
    path = folder.checkpoints / "evaluations.jsonl"
    with progress.task("Evaluating configurations", most + 1) as task:
        kept = _Kept(path, hashlib.sha256(identity.encode()).hexdigest()[:16], space, evaluator, processes, task)
        phase = _Phase(space, focus, kept, most, seed)
        phase.run()
    progress.say(_sentence(phase))
    return record_losses(
        phase.fit,
        kept.evaluations(phase.fitted),
        {kind: kept.evaluations(configs) for kind, configs in phase.held_out.items()},
        data=data,
        images=evaluator.images,
        max_loss=kept.loss(space.largest),
        evaluation=phase.outcome,
    )


class _Phase:
    """Rounds of evaluations."""

    fit: LossFit

    def __init__(self, space: SearchSpace, focus: Focus, kept: _Kept, most: int, seed: int) -> None:
        self._space, self._focus, self._kept, self._seed = space, focus, kept, seed
        self._held_out = max(1, min(HELD_OUT_MOST, round(most * HELD_OUT_SHARE)))
        self._most = max(1, most - 2 * self._held_out)
        self.fitted: list[ChannelConfig] = []
        self.held_out: dict[HeldOutKind, list[ChannelConfig]] = {}
        self._rounds: list[EvaluationRound] = []

    def run(self) -> None:
        """Evaluate until the choice is settled, or as many as are allowed."""
        rng = np.random.default_rng([self._seed, 2])
        self._evaluate(spread(self._space, rng), min(FIRST, self._most))
        # What is held out is decided early: it depends on nothing that it judges.
        middle = self._focus.budgets[len(self._focus.budgets) // 2]
        self.held_out["random"] = self._new((self._space.sample(rng) for _ in count()), self._held_out)
        self.held_out["near the budget"] = self._new(self._near(middle, rng), self._held_out)
        while not self.settled and len(self.fitted) < self._most and self._round():
            pass

    def _round(self) -> bool:
        """Evaluate some more, half of them near the budgets; whether there were any."""
        rng = np.random.default_rng([self._seed, 2, len(self.fitted)])
        near = cycle([self._near(budget, rng) for budget in self._focus.budgets])
        turns = zip(near, spread(self._space, rng), strict=False)
        size = min(ROUND, self._most - len(self.fitted))
        before = len(self.fitted)
        self._evaluate((config for close, wide in turns for config in (next(close), wide)), size)
        doubts = [
            BudgetDoubt(budget=budget, **self._focus.doubt(self.fit, budget, rng)._asdict())
            for budget in self._focus.budgets
        ]
        self._rounds.append(EvaluationRound(fitted=len(self.fitted), doubts=tuple(doubts)))
        return len(self.fitted) > before

    @property
    def settled(self) -> bool:
        """Whether better losses would hardly change the choice near any of the budgets."""
        return bool(self._rounds) and all(doubt.regret <= doubt.worth for doubt in self._rounds[-1].doubts)

    @property
    def outcome(self) -> EvaluationPhase:
        """How many were evaluated, and why no more."""
        return EvaluationPhase(
            cost=self._focus.cost,
            stopped="settled" if self.settled else "as many as allowed",
            rounds=tuple(self._rounds),
        )

    def _near(self, budget: float, rng: np.random.Generator) -> Iterator[ChannelConfig]:
        for _ in count():
            yield from self._focus.near(self._space, self.fit, budget, ROUND, rng)

    def _evaluate(self, configs: Iterable[ChannelConfig], size: int) -> None:
        self.fitted += self._new(configs, size)
        self.fit = fit_losses(self._space, self._kept.evaluations(self.fitted))

    def _new(self, configs: Iterable[ChannelConfig], size: int) -> list[ChannelConfig]:
        return distinct(configs, size, known=[self._space.largest, *self.fitted, *chain(*self.held_out.values())])


def distinct(configs: Iterable[ChannelConfig], size: int, *, known: Iterable[ChannelConfig]) -> list[ChannelConfig]:
    """The first ``size`` that are new; fewer where a space hardly has as many."""
    seen, found = set(known), list[ChannelConfig]()
    for config in islice(configs, TRIES * size):
        if config not in seen:
            seen.add(config)
            found.append(config)
        if len(found) == size:
            break
    return found


def _sentence(phase: _Phase) -> str:
    held_out = sum(map(len, phase.held_out.values()))
    text = f"{len(phase.fitted)} configurations fitted, {held_out} held out"
    return f"{text}: the choice is settled." if phase.settled else f"{text}, as many as the recipe allows."


def spread(space: SearchSpace, rng: np.random.Generator) -> Iterator[ChannelConfig]:
    """Configurations from all over the space: by turns drawn uniformly, and near a uniform width multiplier.

    Uniform draws are all of middling size; the others reach the narrow and the wide end.
    """
    while True:
        yield _near_uniform(space, rng)
        yield space.sample(rng)


def _near_uniform(space: SearchSpace, rng: np.random.Generator) -> ChannelConfig:
    centre = rng.random()
    places = np.clip(centre + NEAREST * rng.uniform(-1, 1, len(space.variables)), 0, 1)
    return space.config([round(place * (len(v.choices) - 1)) for place, v in zip(places, space.variables, strict=True)])


class _Kept:
    """Evaluated losses in a file, so that none is computed twice."""

    def __init__(
        self,
        path: Path,
        identity: str,
        space: SearchSpace,
        evaluator: Evaluator,
        processes: Processes,
        task: Task,
    ) -> None:
        self._path, self._largest, self._evaluator, self._task = path, space.largest, evaluator, task
        self._processes = processes
        self._head = {"identity": identity}
        self._losses: dict[ChannelConfig, float] = {}
        try:
            head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError):
            return
        if head == self._head:
            self._losses = {ChannelConfig.parse(line["config"]): line["loss"] for line in lines}
            task.advance(len(lines))

    def loss(self, config: ChannelConfig) -> float:
        """A configuration's loss, evaluated if it is not known."""
        self._evaluate([config])
        return self._losses[config]

    def evaluations(self, configs: list[ChannelConfig]) -> Evaluations:
        """Configurations with what they lose against the maximum network."""
        self._evaluate([self._largest, *configs])
        return Evaluations(configs, np.array([self.loss(config) for config in configs]) - self.loss(self._largest))

    def _evaluate(self, configs: list[ChannelConfig]) -> None:
        """Those that are not known, one at a time on every process."""
        missing = [config for config in configs if config not in self._losses]
        for first in range(0, len(missing), self._processes.count):
            group = missing[first : first + self._processes.count]
            self._losses |= zip(group, self._processes.map(self._evaluator.loss, group), strict=True)
            if self._processes.is_first:
                self._write()
            self._task.advance(len(group))

    def _write(self) -> None:
        lines = [{"config": str(config), "loss": loss} for config, loss in self._losses.items()]
        write_atomic(self._path, "".join(json.dumps(line) + "\n" for line in (self._head, *lines)).encode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
