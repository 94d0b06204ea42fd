"""Which configurations are evaluated, in rounds, and when that is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, cycle, islice, zip_longest
from typing import TYPE_CHECKING

from edgewidth.losses.fit import Evaluations, fit_losses
from edgewidth.losses.focus import SETTLED_SHARE
from edgewidth.records.losses import BudgetDoubt, EvaluationPhase, EvaluationRound
from edgewidth.streams import Purpose, stream

if TYPE_CHECKING:
    import numpy as np

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.losses.fit import LossFit
    from edgewidth.losses.focus import Focus
    from edgewidth.records.losses import HeldOutKind
    from edgewidth.search.factors import Factor

ROUND = 16
"""Configurations fitted in every round; the first has twice as many."""
HELD_OUT_SHARE, HELD_OUT_MOST = 1 / 6, 50
"""How many configurations of either kind are held out: this share of all evaluations, and no more than this number."""
HELD_OUT_OF_ALL = 5
"""At most one in so many configurations of a small space is held out of either kind, so that most are left to fit."""
TRIES = 20
"""Draws for every new configuration, at most."""


class Rounds:
    """Rounds of evaluations until the choice near the budgets of the focus is settled.

    Held-out configurations are drawn before anything is known, uniformly, and about the middle budget whatever their
    losses: they depend on nothing that they judge. ``evaluate`` gives the excess losses of configurations; there are
    ``most`` evaluations at most, the held-out ones among them.
    """

    def __init__(
        self,
        space: SearchSpace,
        focus: Focus,
        evaluate: Callable[[Sequence[ChannelConfig]], Evaluations],
        *,
        most: int,
        seed: int,
    ) -> None:
        self._space, self._focus, self._evaluate, self._seed = space, focus, evaluate, seed
        held_out = min(HELD_OUT_MOST, max(1, round(most * HELD_OUT_SHARE)), space.size // HELD_OUT_OF_ALL)
        self._most = max(1, most - 2 * held_out)
        self._fitted: list[ChannelConfig] = []
        self._rounds: list[EvaluationRound] = []
        self._held_out: dict[HeldOutKind, list[ChannelConfig]] = {}
        rng = stream(seed, Purpose.HELD_OUT)
        middle = focus.budgets[len(focus.budgets) // 2]
        self._held_out["random"] = self._new((space.sample(rng) for _ in count()), held_out)
        self._held_out["near the budget"] = self._new(self._near((), middle, rng), held_out)
        self.fit, rivals = self._round(2 * ROUND, (), ())
        while not self.settled and len(self._fitted) < self._most:
            before = len(self._fitted)
            self.fit, rivals = self._round(ROUND, self.fit.mean_factors, rivals)
            if len(self._fitted) == before:
                break  # a small space is exhausted

    def _round(
        self, size: int, losses: Sequence[Factor], rivals: Sequence[ChannelConfig]
    ) -> tuple[LossFit, list[ChannelConfig]]:
        """Evaluate some more, and see which might be the best by what is known then.

        Half are ``rivals``, which might be it by what was known before; so each is drawn about as often as it is the
        best (Thompson 1933; Russo et al. 2018, arXiv 1707.02038), and what decides the choice is learned first. The
        others are by turns near the budgets, good ones by ``losses`` most, and uniformly drawn. None are drawn far
        out on purpose: losses there are no sums, and made the fit worse everywhere else.
        """
        rng = stream(self._seed, Purpose.EVALUATED, len(self._fitted))
        end = min(len(self._fitted) + size, self._most)
        self._fitted += self._new(rivals, (end - len(self._fitted)) // 2)
        near = cycle([self._near(losses, budget, rng) for budget in self._focus.budgets])
        configs = (config for close in near for config in (next(close), self._space.sample(rng)))
        self._fitted += self._new(configs, end - len(self._fitted))
        fit = fit_losses(self._space, self.fitted)
        found = [self._focus.doubt(fit, budget, rng) for budget in self._focus.budgets]
        doubts = tuple(
            BudgetDoubt(budget=budget, regret=doubt.regret, gain=doubt.gain)
            for budget, doubt in zip(self._focus.budgets, found, strict=True)
        )
        self._rounds.append(EvaluationRound(fitted=len(self._fitted), doubts=doubts))
        by_turns = chain.from_iterable(zip_longest(*(doubt.rivals for doubt in found)))
        return fit, [self._space.config(rival) for rival in by_turns if rival is not None]

    def _near(self, losses: Sequence[Factor], budget: float, rng: np.random.Generator) -> Iterator[ChannelConfig]:
        while True:
            yield from self._focus.near(self._space, losses, budget, ROUND, rng)

    def _new(self, configs: Iterable[ChannelConfig], size: int) -> list[ChannelConfig]:
        known = chain([self._space.largest], self._fitted, *self._held_out.values())
        return distinct(configs, size, known=known)

    @property
    def fitted(self) -> Evaluations:
        """What the losses are fitted to."""
        return self._evaluate(self._fitted)

    @property
    def held_out(self) -> dict[HeldOutKind, Evaluations]:
        """What they are judged by."""
        return {kind: self._evaluate(configs) for kind, configs in self._held_out.items()}

    @property
    def settled(self) -> bool:
        """Whether better losses would hardly change the choice near any of the budgets."""
        return all(doubt.regret <= SETTLED_SHARE * doubt.gain for doubt in self._rounds[-1].doubts)

    @property
    def outcome(self) -> EvaluationPhase:
        """How many were evaluated, and why no more."""
        return EvaluationPhase(
            cost=self._focus.cost,
            stopped="settled" if self.settled else "as many as allowed",
            rounds=tuple(self._rounds),
        )


def distinct(configs: Iterable[ChannelConfig], size: int, *, known: Iterable[ChannelConfig]) -> list[ChannelConfig]:
    """The first ``size`` that are new; fewer where a space hardly has as many."""
    seen = set(known)
    found: list[ChannelConfig] = []
    for config in islice(configs, TRIES * size):
        if config not in seen:
            seen.add(config)
            found.append(config)
        if len(found) == size:
            break
    return found
