"""The first stage: measure variants on the device and fit its latency table."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import DeviceError, FileError, InputError
from edgewidth.latency.design import first_configs, held_out_configs, next_configs
from edgewidth.latency.fit import LEAST_CONFIGS, fit_table
from edgewidth.records.provenance import Provenance
from edgewidth.records.table import LatencyTable
from edgewidth.stages.bench import measured_visits, open_store
from edgewidth.stages.claim import locked

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.budget import BudgetRequest
    from edgewidth.records.measurement import Setting, Statistic
    from edgewidth.records.table import ConfigVisits
    from edgewidth.stages.bench import Bench
    from edgewidth.stages.folder import RunFolder

LEAST_HELD_OUT = 4
"""With fewer networks to judge it by, a table is none, unless the space is small."""
HELD_OUT_OF_ALL = 4
"""At most one in so many configurations of a small space is held out, so that most are left to fit."""


@dataclass(frozen=True)
class ProfilePlan:
    """How much to measure. Profiling ends when the held-out error is met, or the time or the networks are up.

    The networks are also up when the search space has no others.
    """

    first: int = 32
    """Networks before the first fit, beside the held-out ones."""
    step: int = 12
    """Networks between one fit and the next."""
    first_with_prior: int = 12
    """Networks before the first fit where another table is the prior; then half as many between fits."""
    most: int = 120
    held_out: int = 16
    target_error_percent: float = 3.0
    time_budget_s: float = 600.0
    """No network is measured after this time, however few were by then."""


def profile(
    bench: Bench,
    folder: RunFolder,
    *,
    plan: ProfilePlan | None = None,
    seed: int = 0,
    budget: BudgetRequest | None = None,
) -> LatencyTable:
    """Measure and fit until the plan is met; writes ``table.json`` and goes on from what the store holds.

    A bench with a prior table begins with fewer networks. After these the next ones are by turns those that tell
    most of all configurations and, with a budget, those that tell most of the ones near it: the answer is there.

    Raises:
        InputError: The space is too small for any table.
        DeviceError: The time was too short for any table; what was measured until then stays in the store.
        TransientDeviceError: The device does not answer; the same.
    """
    check_size(bench.space)
    plan = plan or ProfilePlan()
    first, step = (plan.first_with_prior, plan.first_with_prior // 2) if bench.prior else (plan.first, plan.step)
    until = time.monotonic() + plan.time_budget_s
    rng = np.random.default_rng(seed)
    space, progress = bench.space, bench.progress
    # The budget may be a share of the uniform network, and an infeasible one is told by the smallest.
    fixed = [space.uniform(1.0), space.smallest, space.largest]
    most_held_out = min(plan.held_out, max(1, space.size // HELD_OUT_OF_ALL))
    held_out = held_out_configs(space, most_held_out, rng, exclude=fixed)
    configs = list(dict.fromkeys([*fixed, *first_configs(space, first - len(fixed), rng, exclude=held_out)]))
    # First what no table can do without, for a time that is over soon.
    needed = [*configs[:LEAST_CONFIGS], *held_out[:LEAST_HELD_OUT]]
    bench.measure(needed, until=until)
    bench.measure([*held_out, *configs], until=until)
    _check_enough(bench, plan, needed, len(configs) + len(held_out))
    full_ms = bench.estimate(space.uniform(1.0)).value_ms
    near_ms = budget.resolve(full_ms, bench.target.statistic).latency_ms if budget else None
    turn = 0
    while True:
        table = fit_measured(bench, held_out)
        known, late = len(configs) + len(held_out), time.monotonic() >= until
        reason = _why_stop(plan, table, len(configs) + step, late=late, exhausted=known == space.size)
        if reason:
            # Only now: a run that finds a table takes profiling for done.
            table.write(folder.table)
            progress.say(f"Latency table: {reason}. {table.quality.verdict}")
            return table
        new = next_configs(table, step, rng, exclude={*configs, *held_out}, near_ms=near_ms if turn % 2 else None)
        configs += new
        bench.measure(new, until=until)
        turn += 1


def check_size(space: SearchSpace) -> None:
    """Whether a space has configurations enough for a latency table.

    Raises:
        InputError: There are too few to fit one and hold another against it.
    """
    space.check_choice()
    if space.size <= LEAST_CONFIGS:
        raise InputError(
            f"These widths leave {space.size} configurations: a latency table needs {LEAST_CONFIGS + 1}.",
            remedy="Widen `min_width` and `max_width`, raise `levels`, lower `divisor` or fix fewer widths.",
        )


def _check_enough(bench: Bench, plan: ProfilePlan, needed: Collection[ChannelConfig], wanted: int) -> None:
    measured = bench.visits()
    if not measured.keys() >= set(needed):
        raise DeviceError(
            f"{plan.time_budget_s:g} s were enough for {len(measured)} of {wanted} networks: too few for a table.",
            remedy="What is known is kept: start the same command again, or give it a longer `time_budget_s`.",
        )


def fit_measured(bench: Bench, held_out: Iterable[ChannelConfig], *, known: LatencyTable | None = None) -> LatencyTable:
    """The table of all that the store holds and ``known`` stands on, ``held_out`` kept apart."""
    visits = _joined(known, bench.visits(), bench.moments() if known else frozenset())
    table = _fit(bench.space, bench.setting, bench.target.statistic, visits, frozenset(held_out), bench.prior)
    return table.model_copy(update={"facts": bench.device.facts, "warnings": bench.warnings})


def _joined(
    known: LatencyTable | None, stored: Mapping[ChannelConfig, ConfigVisits], moments: Collection[float]
) -> dict[ChannelConfig, ConfigVisits]:
    """What is stored, and of a known table what was measured for it elsewhere: at other moments."""
    found = dict(stored)
    for config, visits in (known.visits() if known else {}).items():
        elsewhere = visits.without(moments)
        if elsewhere:
            found[config] = found[config].joined(elsewhere) if config in found else elsewhere
    return found


def _fit(
    space: SearchSpace,
    setting: Setting,
    statistic: Statistic,
    visits: Mapping[ChannelConfig, ConfigVisits],
    held_out: frozenset[ChannelConfig],
    prior: LatencyTable | None,
) -> LatencyTable:
    fitted = [v for config, v in visits.items() if config not in held_out]
    kept_apart = [v for config, v in visits.items() if config in held_out]
    table = fit_table(space, setting, statistic, fitted, kept_apart, prior=prior)
    inputs = {"prior": prior.digest} if prior else {}
    return table.model_copy(update={"provenance": Provenance(inputs=inputs)})


def refit(folder: RunFolder) -> LatencyTable:
    """Fit the table of a run folder again, to everything that its store holds in the same setting.

    The same configurations are held out. Needs no device; writes ``table.json``.

    Raises:
        FileError: The folder has no table or no measurements.
        InputError: It cannot be written, or another edgewidth is at work in it.
    """
    if not folder.measurements.exists():
        raise FileError(
            f"There are no measurements in {folder.path}.",
            remedy="Give the folder that was the `out` of edgewidth run or profile.",
        )
    with locked(folder.path):
        return _refit(folder)


def _refit(folder: RunFolder) -> LatencyTable:
    old = LatencyTable.read(folder.table)
    prior = LatencyTable.read(folder.prior) if folder.prior.exists() else None
    with open_store(folder.measurements, old.space) as store:
        stored = measured_visits(store, old.setting, old.space, old.statistic)
        visits = _joined(old, stored, {visit.started_s for _, visit in store.named_visits(old.setting)})
    held_out = frozenset(held.config for held in old.held_out)
    table = _fit(old.space, old.setting, old.statistic, visits, held_out, prior)
    table = table.model_copy(update={"facts": old.facts, "warnings": old.warnings})
    table.write(folder.table)
    return table


def _why_stop(plan: ProfilePlan, table: LatencyTable, would_have: int, *, late: bool, exhausted: bool) -> str | None:
    error = table.quality.mape_percent
    if error <= plan.target_error_percent:
        return f"the held-out error of {error:.1f} % meets the {plan.target_error_percent:g} % asked for"
    if late:
        return f"the time is up at a held-out error of {error:.1f} %"
    if exhausted:
        return f"every configuration was measured, at a held-out error of {error:.1f} %"
    if would_have > plan.most:
        return f"{table.quality.fitted} networks are known, at a held-out error of {error:.1f} %"
    return None
