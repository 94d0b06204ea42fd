"""Narrowing: as training goes on, it draws the widths that the search is likely to choose, as in AOWS.

After a share of training with widths drawn uniformly, configurations of the supernet as it is then are evaluated,
unary losses are fitted, and from there on widths are drawn from the random field of these losses and the latency
table at the budget, p ∝ exp(−(loss + weight × latency) / temperature); again and again, at a falling temperature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.losses.fit import fit_losses
from edgewidth.losses.rounds import distinct
from edgewidth.records.losses import NarrowingStep
from edgewidth.streams import Purpose, stream
from edgewidth.training.evaluation import Evaluator
from edgewidth.training.kept import KeptLosses
from edgewidth.training.loop.processes import join

if TYPE_CHECKING:
    import numpy as np

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.losses.fit import Evaluations
    from edgewidth.losses.focus import Focus
    from edgewidth.progress import Progress
    from edgewidth.records.provenance import Provenance
    from edgewidth.search.field import RandomField
    from edgewidth.training.networks.supernet import Supernet

NARROWING = "narrowing"
"""How the names of the files begin that keep what was evaluated."""


class Schedule(NamedTuple):
    """When and how far the range of widths narrows."""

    begin: float = 0.4
    """The share of training with widths drawn uniformly."""
    updates: int = 4
    """How often the field is made anew, at even distances from then on."""
    evaluations: int = 48
    """Configurations evaluated for each field."""
    first_temperature: float = 1.0
    """The temperature of the first field, in standard deviations of the loss of uniformly drawn configurations."""
    last_temperature: float = 0.1
    """The temperature of the last field; between the two it falls geometrically."""

    def update_at(self, done: float) -> int | None:
        """Which field counts when this share of training is over; None: still the uniform draws."""
        if done < self.begin:
            return None
        return min(int((done - self.begin) / (1 - self.begin) * self.updates), self.updates - 1)

    def temperature(self, update: int) -> float:
        """The temperature of a field, in standard deviations of the loss."""
        fall = update / max(self.updates - 1, 1)
        return self.first_temperature * float((self.last_temperature / self.first_temperature) ** fall)


class NarrowingSampler:
    """Draws configurations for the training of a supernet; a ``ConfigSampler``.

    What was evaluated, on the search images, is kept in ``folder``, so that a training that is taken up draws as the
    unbroken one. What others that were given up have evaluated lies beside it, as their checkpoints do.

    The ``focus`` has one budget of latency, at which the field's mean latency is kept. ``training`` says what the
    supernet's training depends on beside its draws, and ``key`` what else these depend on, such as the latency table.
    """

    def __init__(
        self,
        space: SearchSpace,
        data: ImageData,
        focus: Focus,
        *,
        folder: Path,
        schedule: Schedule,
        seed: int,
        key: str,
        training: Provenance,
        progress: Progress,
    ) -> None:
        self._space, self._data, self._focus = space, data, focus
        self._schedule, self._seed, self._progress = schedule, seed, progress
        self._processes = join()
        self.identity = _digest(space.fingerprint, repr(schedule), repr(focus.budgets), key)
        self._kept_by = _digest(self.identity, data.fingerprint, str(seed), training.digest)
        self._folder = folder
        self._evaluated: dict[int, Evaluations] = {}
        self._fields: dict[int, RandomField] = {}

    def __call__(self, rng: np.random.Generator, done: float, supernet: Supernet) -> ChannelConfig:
        """A configuration; see ``ConfigSampler``."""
        update = self._schedule.update_at(done)
        if update is None:
            return self._space.sample(rng)
        self._evaluations(update, supernet)
        return self._space.config(self._field(update).sample(1, rng)[0])

    @property
    def steps(self) -> tuple[NarrowingStep, ...]:
        """The fields drawn from so far, in order."""
        schedule, found = self._schedule, []
        for update in takewhile(lambda update: self._evaluations(update) is not None, range(schedule.updates)):
            field = self._field(update)
            found.append(
                NarrowingStep(
                    done=schedule.begin + (1 - schedule.begin) * update / schedule.updates,
                    temperature=field.temperature,
                    mean_ms=field.mean_latency_ms,
                    marginals=tuple(tuple(marginal.tolist()) for marginal in field.marginals),
                )
            )
        return tuple(found)

    def _field(self, update: int) -> RandomField:
        if update not in self._fields:
            fit = fit_losses(self._space, self._evaluated[update])
            temperature, [budget] = self._schedule.temperature(update), self._focus.budgets
            self._fields[update] = self._focus.field(fit.mean_factors, budget, temperature)
        return self._fields[update]

    def _evaluations(self, update: int, supernet: Supernet | None = None) -> Evaluations | None:
        """What a field is fitted to; what is not known of it is evaluated on ``supernet``. None: there is neither."""
        if update not in self._evaluated:
            configs = self._configs(update)
            path = self._folder / f"{NARROWING}-{self._kept_by}-{update}.jsonl"
            kept = KeptLosses(path, self._kept_by, self._space.largest)
            if not kept.has_all(configs):
                if supernet is None:
                    return None
                self._evaluate(kept, configs, supernet)
            self._evaluated[update] = kept.excess(configs)
        return self._evaluated[update]

    def _evaluate(self, kept: KeptLosses, configs: Sequence[ChannelConfig], supernet: Supernet) -> None:
        evaluator = Evaluator(supernet, self._data, seed=self._seed)
        with self._progress.task("Evaluating for narrower widths", len(configs) + 1) as task:
            task.advance(len(kept))
            kept.evaluate(configs, evaluator.loss, self._processes, task)

    def _configs(self, update: int) -> list[ChannelConfig]:
        """Which configurations a field is fitted to: half are drawn as at first, half near the budget."""
        rng = stream(self._seed, Purpose.NARROWING, update)
        count = self._schedule.evaluations
        return distinct(self._draws(update, count, rng), count, known=[self._space.largest])

    def _draws(self, update: int, count: int, rng: np.random.Generator) -> Iterator[ChannelConfig]:
        before, [budget] = self._evaluations(update - 1) if update else None, self._focus.budgets
        losses = fit_losses(self._space, before).mean_factors if before else ()
        while True:
            for config in self._focus.near(self._space, losses, budget, count, rng):
                yield config
                yield self._space.sample(rng)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
