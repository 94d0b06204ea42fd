"""How much measurements of one model differ: from visit to visit, from session to session, from state to state.

A visit's median says well how fast the device was just then, and not how fast it will be in some minutes. The
logarithm of a visit is ``m + state + session + visit``: a *state* of the device lasts for seconds to minutes
(neighbours, clocks, heat) and is shared by visits that follow each other closely; a *session* is a process with its
file at one place in memory. The variances come from the bottom up: what the visits of a session differ by; what
sessions of a state differ by, less what their few visits explain; and so the states (one-way random effects at each
level, by the method of moments with unweighted means; Searle, Casella and McCulloch, Variance Components, 1992). What
no measurement tells apart from the next level is part of that. States are compared with the ones next in time (von
Neumann et al. 1941): a device that was changed once, or drifts over days, does not vary by that from now to later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.records.measurement import Visit

Session = list[float]
"""The logarithms of its visits."""
State = list[Session]

APART_S = 10.0
"""Visits with a longer pause between them are not of the same state: slow stretches last for 20 to 80 s."""
ALIKE = 6.0
"""At most so many degrees of freedom are what is known of other models worth: they are alike, not the same."""


class Component(NamedTuple):
    """A variance of logarithms, and how many degrees of freedom tell it; 0: nothing does."""

    variance: float
    freedom: float


class Scatter(NamedTuple):
    """Of single visits, of sessions and of states."""

    visit: Component
    session: Component
    state: Component


UNKNOWN = Scatter(*[Component(0.0, 0.0)] * 3)
USUAL = Scatter(Component(0.01**2, 1.0), Component(0.002**2, 2.0), Component(0.01**2, 4.0))
"""What is taken for likely where nothing is known, at most; see ``PER_SPREAD``."""
PER_SPREAD = (1.0, 1.0, 0.5)
"""And no more than these parts of what single runs differ by: a device that does not vary from run to run does not from
minute to minute. On a virtual machine beside neighbours states differed by 0.3 to 0.8 of it."""
STEADY = Component(0.0, 1e6)
"""Of what is known not to differ."""


def states_of(visits: Sequence[Visit], logs: NDArray[np.float64]) -> list[State]:
    """The logarithms of the visits to one model, by states and sessions."""
    found: list[dict[str, Session]] = []
    ended_s = -math.inf
    for place in np.argsort([visit.started_s for visit in visits], kind="stable"):
        visit = visits[place]
        if visit.started_s - ended_s > APART_S:
            found.append({})
        found[-1].setdefault(visit.session, []).append(float(logs[place]))
        ended_s = visit.started_s + (sum(visit.warmup_ns) + sum(visit.runs_ns)) / 1e9
    return [list(sessions.values()) for sessions in found]


def pooled(models: Sequence[Sequence[State]]) -> Scatter:
    """The scatter that many models show together."""
    return _scatter(models, UNKNOWN)


def own(states: Sequence[State], known: Scatter, spread: float) -> Scatter:
    """The scatter of one model, from its own states and what is known of others.

    ``spread`` is the standard deviation of the logarithm of single runs.
    """
    told = [one.freedom + mine.freedom for one, mine in zip(known, _scatter([states], UNKNOWN), strict=True)]
    prior = []
    for level, (one, usual, share) in enumerate(zip(known, USUAL, PER_SPREAD, strict=True)):
        part_of_next = not one.freedom and any(told[level + 1 :])
        worth = 0.0 if part_of_next else usual.freedom
        freedom = one.freedom + worth
        squares = one.variance * one.freedom + min(usual.variance, (share * spread) ** 2) * worth
        prior.append(Component(squares / freedom if freedom else 0.0, min(freedom, ALIKE)))
    return _scatter([states], Scatter(*prior))


def mean(states: Sequence[State], scatter: Scatter) -> tuple[float, float, float]:
    """The mean of the logarithms, weighted for the least variance; that variance, and its degrees of freedom."""
    by_state = [_sessions(state, scatter) for state in states]
    shares = [_weights([variance for _, variance in sessions]) for sessions in by_state]
    totals = [
        _weighted(sessions, share, scatter.state.variance) for sessions, share in zip(by_state, shares, strict=True)
    ]
    weights = _weights([variance for _, variance in totals])
    value = float(np.dot(weights, [centre for centre, _ in totals]))
    each = [float(w * s) for w, share in zip(weights, shares, strict=True) for s in share]
    counts = [len(session) for state in states for session in state]
    parts = (
        scatter.visit.variance * sum(w**2 / n for w, n in zip(each, counts, strict=True)),
        scatter.session.variance * sum(w**2 for w in each),
        scatter.state.variance * float(np.sum(weights**2)),
    )
    variance = sum(parts)
    doubt = sum(part**2 / one.freedom for part, one in zip(parts, scatter, strict=True) if part > 0)
    return value, variance, variance**2 / doubt if doubt > 0 else 1.0


def _sessions(state: State, scatter: Scatter) -> list[tuple[float, float]]:
    """The mean of each session, and the variance of that about the state's."""
    return [
        (float(np.mean(session)), scatter.session.variance + scatter.visit.variance / len(session)) for session in state
    ]


def _weighted(means: Sequence[tuple[float, float]], weights: NDArray[np.float64], more: float) -> tuple[float, float]:
    """The weighted mean of means with their variances, and its variance, ``more`` added."""
    values, variances = np.array(means).T
    return float(weights @ values), float(weights**2 @ variances) + more


def _weights(variances: Sequence[float]) -> NDArray[np.float64]:
    """Shares that are inverse to variances; equal ones where there is no variance at all."""
    inverse = 1 / np.maximum(variances, 1e-18)
    shares: NDArray[np.float64] = inverse / inverse.sum()
    return shares


def _scatter(models: Sequence[Sequence[State]], prior: Scatter) -> Scatter:
    every = list(chain.from_iterable(models))
    visit = _component([[(log, 0.0) for log in session] for state in every for session in state], prior.visit)
    found = Scatter(visit, Component(0.0, 0.0), Component(0.0, 0.0))
    found = found._replace(session=_component([_sessions(state, found) for state in every], prior.session))
    states = [
        [
            _weighted(sessions, _weights([variance for _, variance in sessions]), 0.0)
            for sessions in (_sessions(state, found) for state in model)
        ]
        for model in models
    ]
    return found._replace(state=_component(states, prior.state, successive=True))


def _component(
    groups: Iterable[Sequence[tuple[float, float]]], prior: Component, *, successive: bool = False
) -> Component:
    """The variance within groups of means, beyond what the variances of these explain.

    ``successive``: from the differences between neighbours, worth up to a third fewer degrees of freedom.
    """
    squares, freedom = prior.variance * prior.freedom, prior.freedom
    for group in groups:
        values, variances = np.array(group).T
        spare = len(group) - 1
        if successive and spare:
            worth = 2 * spare**2 / (3 * len(group) - 4)
            excess = np.diff(values) ** 2 - variances[1:] - variances[:-1]
            squares += worth * float(np.mean(excess)) / 2
            freedom += worth
        else:
            squares += float(np.sum((values - values.mean()) ** 2)) - float(np.sum(variances)) * spare / len(group)
            freedom += spare
    return Component(max(0.0, squares / freedom) if freedom else 0.0, freedom)
