"""Unary losses: what each width at each place costs in loss."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from edgewidth.documents import Record
from edgewidth.errors import InputError
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.budget import Budget
from edgewidth.records.measurement import Setting
from edgewidth.records.provenance import NONE, SOME, Digest, Facts, Made, Provenance
from edgewidth.records.run import Narrowing
from edgewidth.records.training import IMAGES, upgraded
from edgewidth.records.upgrades import name_engine
from edgewidth.shown import Shown

Cost = Literal["latency", "multiply-accumulates"]
"""What budgets are of: latency (ms) where the device was known, else counts."""
HeldOutKind = Literal["random", "near the budget"]


class EvaluatedConfig(Record):
    """A configuration's mean excess loss over the maximum network on the same images (nats per image)."""

    config: ChannelConfig
    excess_loss: float


class VariableLosses(Record):
    """What each choice of one width variable adds to the loss, against its widest choice."""

    variable: str
    values: tuple[float, ...]
    standard_errors: tuple[float, ...]


class PairLosses(Record):
    """What two neighbouring variables add together; ``values[i][j]`` for choice i of the first, j of the second."""

    variables: tuple[str, str]
    values: tuple[tuple[float, ...], ...]


class LossQuality(Record):
    """How well the losses predict configurations that were evaluated and never fitted."""

    held_out: int
    spearman: float
    """The rank correlation of predicted and evaluated losses."""
    r2: float
    """The share of the losses' variance that is predicted."""
    residual_sigma: float
    """What is not predicted (nats, root mean square)."""


class HeldOutLosses(Record):
    """Configurations that were evaluated and never fitted: drawn uniformly, or about a budget whatever their losses."""

    kind: HeldOutKind
    evaluated: tuple[EvaluatedConfig, ...]
    quality: LossQuality


class BudgetDoubt(Record):
    """What not knowing the losses better costs near one budget (nats)."""

    budget: float
    """A bound on the sum of a latency table's entries (ms), or on multiply-accumulates."""
    regret: float
    """How much worse the choice is than the best one, expected over the losses that the evaluations allow."""
    gain: float
    """How much better the choice is than configurations of its cost are on average."""


class EvaluationRound(Record):
    """How settled the choice was after so many fitted configurations."""

    fitted: int
    doubts: tuple[BudgetDoubt, ...]


class EvaluationPhase(Record):
    """How many configurations were evaluated, and why no more."""

    cost: Cost
    stopped: Literal["settled", "as many as allowed"]
    """Settled: the regret is a twentieth of the gain at most."""
    rounds: tuple[EvaluationRound, ...]


class NarrowingStep(Record):
    """The distribution that widths were drawn from during one part of a training for one budget."""

    done: float
    """The share of training after which this began."""
    temperature: float
    """The temperature of the random field, in nats."""
    mean_ms: float
    """The mean latency of what was drawn."""
    marginals: tuple[tuple[float, ...], ...]
    """The probability of every choice of every width variable."""


class NarrowedFor(Record):
    """The device and the budget that a supernet serves, and no others, and how its range of widths narrowed."""

    setting: Setting
    """The setting of the latency table."""
    budget: Budget
    schedule: Narrowing


class Rival(Record):
    """A configuration near the budget that was trained briefly."""

    config: ChannelConfig
    methods: tuple[str, ...]
    """Whose choice it was, such as ``exact`` or ``greedy``; ``drawn``: because it tells much of the others."""
    race: int
    """The race that it took part in, from 1."""
    supernet_loss: float
    """Its excess loss (nats) as the supernet's losses predict it."""
    losses: tuple[float, ...]
    """Its own loss (nats per image) on images that no search has seen, at the end of every rung that it reached."""


class Coefficient(Record):
    """A number that was learned, and its standard error."""

    value: float
    standard_error: float


class Correction(Record):
    """What the losses of networks after training say of the supernet's losses.

    A rival's loss is taken as a constant plus ``slope`` times its excess loss on the supernet, plus two departures from
    that. ``depth``: what a variable costs, times its place from the first (-1) to the last (1). ``tilt``: what it
    costs less or more at narrow widths where its cost ran evenly with the logarithm of the width. Both in units of the
    excess loss on the supernet, as ``slope`` is.
    """

    offsets: tuple[float, ...]
    """The constant of every rung (nats)."""
    slope: Coefficient
    depth: Coefficient
    tilt: Coefficient
    sigma: float
    """The standard deviation (nats) of a rival's loss about that."""

    @property
    def is_sure(self) -> bool:
        """Whether the supernet's losses tell anything of those after training, by two standard errors of the slope."""
        return self.slope.value > 2 * self.slope.standard_error


class Rivals(Record):
    """Configurations near a budget that were trained briefly, on one schedule, and what their losses say."""

    provenance: Provenance
    budget: Budget
    images: int
    """On how many images each was judged."""
    rungs: tuple[int, ...]
    """After how many steps of the schedule rivals were judged, and half of them dropped."""
    rivals: tuple[Rival, ...]
    correction: Correction
    supernet_spearman: float
    """The rank correlation of the supernet's losses with the losses after training."""
    corrected_spearman: float
    """That of the corrected losses, each predicted from the other rivals' alone."""
    seconds: float
    """What all of it took, interruptions left out."""


class UnaryLosses(Shown, Made):
    """The losses of single widths and of neighbouring pairs, where they came from and how far they can be trusted."""

    schema_name: ClassVar[str] = "edgewidth/unary-losses"
    schema_version: ClassVar[int] = 4

    space: SearchSpace
    data_fingerprint: str
    class_names: tuple[str, ...] = ()
    """The class names of the data, which an emitted file holds; empty: not known."""
    images: int
    """On how many images every configuration was evaluated."""
    offset: float
    variables: tuple[VariableLosses, ...]
    pairs: tuple[PairLosses, ...] = ()
    fitted: tuple[EvaluatedConfig, ...]
    held_out: tuple[HeldOutLosses, ...]
    sigma: float
    """The standard deviation of an evaluation about the losses, as the fit estimates it."""
    evaluation: EvaluationPhase
    max_loss: float
    """The maximum network's own loss on those images."""
    narrowing: tuple[NarrowingStep, ...] = ()
    """How the range of widths narrowed while the supernet was trained; empty: it did not."""
    narrowed: NarrowedFor | None = None
    """What it narrowed for; None: nothing, or it is not known."""
    rivals: Rivals | None = None
    """What brief trainings say of them: searches take the losses as these correct them. None: nothing was trained."""

    @model_validator(mode="after")
    def _fit_their_space(self) -> Self:
        """Every width variable has its losses, in order, and every choice its own; configurations are of the space."""
        choices = {variable.name: len(variable.choices) for variable in self.space.variables}
        if (names := [one.variable for one in self.variables]) != list(choices):
            raise ValueError(f"the losses are of {', '.join(names) or 'no variable'}, and not of {', '.join(choices)}")
        for one in self.variables:
            if not len(one.values) == len(one.standard_errors) == choices[one.variable]:
                raise ValueError(f"the losses of {one.variable} are not {choices[one.variable]}, one for every choice")
        for pair in self.pairs:
            rows, columns = (choices.get(name, 0) for name in pair.variables)
            if [len(row) for row in pair.values] != [columns] * rows or not columns:
                raise ValueError(f"the pair {' and '.join(pair.variables)} does not have {rows} × {columns} values")
        for step in self.narrowing:
            if [len(marginal) for marginal in step.marginals] != list(choices.values()):
                raise ValueError("the narrowing does not have a probability for every choice")
        evaluated = [*self.fitted, *(one for part in self.held_out for one in part.evaluated)]
        rivals = self.rivals.rivals if self.rivals else ()
        try:
            for config in (*(one.config for one in evaluated), *(one.config for one in rivals)):
                self.space.check(config)
        except InputError as error:  # to pydantic, a ValueError says what is wrong with a file
            raise ValueError(error.message) from error
        return self

    @property
    def made_of(self) -> Facts:
        """What they were made of; of a supernet that narrowed, the device and the budget that it serves too."""
        found: Facts = super().made_of | {IMAGES: Digest(self.data_fingerprint)}
        if self.rivals:
            found |= self.rivals.provenance.made_of
        if aim := self.narrowed:
            return found | aim.setting.facts | {"budget": aim.budget, "narrowing": aim.schedule}
        # Older versions did not always say for what it narrowed.
        return found | {"narrowing": SOME if self.narrowing else NONE}

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        if version == 1 and content.get("narrowed"):
            setting = content["narrowed"]["setting"]
            name_engine(setting, setting["runtime_version"])
        training = content.pop("training", None)
        return content | ({"provenance": upgraded(training).model_dump()} if training else {})
