"""What a run is going to do, step by step, and about how long each step takes here.

Nothing is guessed: training is tried for a second on images and networks of the run, and measuring takes no less time
than its policy says. What there is no ground for, such as how often candidates are measured, gets no number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.measure.policy import default_policy
from edgewidth.graph.costs import costs
from edgewidth.progress import duration_text
from edgewidth.records.measurement import Clock
from edgewidth.records.weights_file import begun_with
from edgewidth.stages.profile import ProfilePlan
from edgewidth.stages.rivals import FORWARD, schedule
from edgewidth.streams import Purpose, stream

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.budget import BudgetRequest
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.run import Job
    from edgewidth.training.recipes import Phase, Phases
    from edgewidth.training.speed import Speed

DRAWS = 16
"""Of so many configurations the mean stands for those that are drawn in training and evaluated."""


class Step(NamedTuple):
    """One step of a run: what is done, and how long it will take; empty: nobody knows, or ``done``."""

    what: str
    how_long: str

    def __str__(self) -> str:
        return f"{self.what}: {self.how_long}" if self.how_long else self.what


def forecast(job: Job, folder: RunFolder, *, force: bool = False) -> tuple[Step, ...]:
    """The steps of a run in its folder; with ``force`` what is there is done again.

    Where training is still to be done it takes about a second and the loading of torch, which training needs anyway.
    """
    files = (folder.table, folder.supernet, folder.search, folder.weights, folder.validation)
    done = [not force and file.exists() for file in files]
    start = None if force or not folder.supernet.exists() else folder.supernet
    trained = bool(begun_with(start, job.weights))
    work = _Work(job, job.recipe.phases(trained=trained), trained=trained)
    speed = None if done[3] else work.speed()
    told = (work.measuring(), work.supernet(speed), work.comparing(speed), work.final(speed), "")
    verb, device, images = job.target.profile.clock.words.verb, job.target.profile.name, f"{len(job.data.train):,}"
    share = job.request.rivals
    rivals = f", train a dozen of them for {share:.0%} of the final training at most" if share else ""
    steps = (
        f"{verb} networks on {device}",
        f"train a supernet, {work.epochs(work.phases.supernet)} times {images} images",
        f"compare configurations, {job.recipe.evaluations} at most{rivals}, and {verb} those that come into question",
        f"train the chosen network, {work.epochs(work.phases.finetune)} times {images} images",
        f"export it, {verb} its file against the budget and write the report",
    )
    return tuple(
        Step(what, "done" if is_done else how_long) for what, is_done, how_long in zip(steps, done, told, strict=True)
    )


def about_text(seconds: float) -> str:
    """A duration that is not known to the second: ``about 35 s``, ``about 2 min 15 s``, ``about 20 min``."""
    step = next(step for most, step in ((60, 5), (600, 15), (3600, 60), (math.inf, 600)) if seconds < most)
    told = duration_text(max(step * round(seconds / step), step))
    return f"about {told.removesuffix(' 00 s').removesuffix(' 00 min')}"


class _Work:
    """How much a run has to do, and how long that takes at a speed; None: it is not known."""

    def __init__(self, job: Job, phases: Phases, *, trained: bool) -> None:
        self._job, self.phases, self._trained = job, phases, trained
        self._images = len(job.data.train)
        space = job.request.space
        drawn = [space.sample(stream(job.request.seed, Purpose.WIDTHS, draw)) for draw in range(DRAWS)]
        self._mean = sum(costs(space, config).macs for config in drawn) / DRAWS
        self._largest, self._smallest = (costs(space, config).macs for config in (space.largest, space.smallest))

    def epochs(self, phase: Phase) -> int:
        """How often a training goes through the images."""
        return phase.epochs(self._images)

    def speed(self) -> Speed | None:
        """How fast networks of this run are trained here."""
        from edgewidth.training.speed import measure_speed  # noqa: PLC0415  torch loads when it is needed

        return measure_speed(self._job.request.space, self._job.data, self.phases.supernet)

    def measuring(self) -> str:
        """How long the first table takes at least, where the device's clock is that on the wall; and at most."""
        plan = self._job.profile_plan or ProfilePlan()
        most = f"{duration_text(plan.time_budget_s)} at most"
        clock = self._job.target.profile.clock
        if clock is not Clock.WALL or self._job.table:
            return most
        policy = default_policy(clock)
        first = plan.first_with_prior if self._job.prior else plan.first
        networks = min(first + plan.held_out, self._job.request.space.size)
        least = networks * policy.rounds * (policy.warmup_min_ms + policy.visit_ms) / 1e3
        return f"{duration_text(least)} at least, {most}" if least < plan.time_budget_s else most

    def supernet(self, speed: Speed | None) -> str:
        """How long the maximum network, two others on half a batch each, and now and then the minimum take.

        Before them comes the network that brought its weights, which is about as large as the maximum one.
        """
        if not speed:
            return ""
        phase, recipe = self.phases.supernet, self._job.recipe
        minimum = 0.0 if self._trained else 1 / recipe.minimum_every
        passes, macs = 3 + minimum, self._largest + self._mean + minimum * self._smallest
        seconds = self._seconds(speed, phase, passes, macs)
        if self._trained:
            seconds += self._seconds(speed, recipe.trained.adapt, 1, self._largest)
        return about_text(seconds)

    def comparing(self, speed: Speed | None) -> str:
        """How long evaluations take, which look at images and compute statistics of others, and rivals.

        These cost a share of the final training, unless that is too little for any.
        """
        if not speed:
            return ""
        from edgewidth.training.evaluation import MOMENT_IMAGES  # noqa: PLC0415  torch loads when it is needed

        job, phase = self._job, self.phases.finetune
        looked_at = (job.recipe.evaluations + 1) * (len(job.data.search) + min(MOMENT_IMAGES, self._images))
        seconds = FORWARD * speed.seconds(looked_at / MOMENT_IMAGES, looked_at * self._mean)
        share = job.request.rivals
        if share and schedule(job.data, phase, share, compared=self._trained):
            seconds += share * self._final(speed)
        return f"{about_text(seconds)} at most, and what measuring takes"

    def final(self, speed: Speed | None) -> str:
        """The chosen network's training."""
        return about_text(self._final(speed)) if speed else ""

    def _final(self, speed: Speed) -> float:
        """As of a uniform network, with what the supernet's largest one takes to teach it."""
        phase, space = self.phases.finetune, self._job.request.space
        macs = float(costs(space, _stand_in(space, self._job.request.budget)).macs)
        if phase.distillation:
            macs += FORWARD * self._largest
        return self._seconds(speed, phase, 1, macs)

    def _seconds(self, speed: Speed, phase: Phase, passes: float, macs: float) -> float:
        """A training of so many passes a step, and so many multiply-accumulates for an image."""
        batch = min(phase.batch, self._images)
        steps = self.epochs(phase) * (self._images // batch)
        return speed.seconds(steps * passes, steps * batch * macs)


def _stand_in(space: SearchSpace, budget: BudgetRequest) -> ChannelConfig:
    """The largest uniform network with the budget's share of multiply-accumulates: what is chosen is not known yet.

    Where the budget is no share that is the uniform 1.0 network.
    """
    full = space.uniform(1.0)
    most = costs(space, full).macs * (budget.value / 100 if budget.unit == "%" else 1.0)
    return max(
        (one for one in (space.smallest, *space.uniforms()) if costs(space, one).macs <= most),
        key=lambda one: costs(space, one).macs,
        default=space.smallest,
    )
