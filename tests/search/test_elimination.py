"""Orders of elimination, and minima over graphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from search_problems import SHAPES, enumerate_all, random_problem

from edgewidth.search.elimination import Plan, minima, minimise
from edgewidth.search.enumeration import undominated


@pytest.mark.parametrize("shape", SHAPES)
def test_the_minimum_is_that_of_enumeration(shape: str) -> None:
    """Its value, its assignment and the sum at it agree."""
    for seed in range(5):
        problem = random_problem(shape, np.random.default_rng(seed))
        plan = Plan(problem.sizes, problem.scopes)
        buckets = plan.buckets(problem.losses)
        value, assignment = minimise(plan, buckets)
        best = enumerate_all(problem)[0]
        assert value == pytest.approx(best.loss)
        assert problem.loss(assignment[np.newaxis])[0] == pytest.approx(best.loss)
        assert plan.total(buckets, assignment) == pytest.approx(best.loss)
        assert minima(plan, buckets)[-1].shape == ()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_step_hands_its_table_to_the_next(shape: str) -> None:
    """Each variable is eliminated once, and is alive from its first factor on."""
    problem = random_problem(shape, np.random.default_rng(1), variables=9)
    plan = Plan(problem.sizes, problem.scopes)
    assert sorted(step.variable for step in plan.steps) == list(range(9))
    assert plan.steps[0].before == plan.steps[-1].after == ()
    for step, following in zip(plan.steps, plan.steps[1:], strict=False):
        assert step.after == following.before
        assert set(step.before) <= set(step.joint)


def joint_sizes(scopes: Sequence[tuple[int, ...]], variables: int) -> list[int]:
    return [len(step.joint) for step in Plan((5,) * variables, scopes).steps]


def test_orders_keep_tables_small() -> None:
    """A chain needs pairs; blocks that share a width need it and their own; a ring needs triples."""
    chain = [(i, i + 1) for i in range(20)]
    assert max(joint_sizes(chain, 21)) == 2
    residual = [scope for i in range(1, 20) for scope in ((0, i), (i, 0))]
    assert max(joint_sizes(residual, 20)) == 2
    assert max(joint_sizes([*chain, (20, 0)], 21)) == 3
    bottleneck = [scope for i in range(1, 20, 2) for scope in ((0, i), (i, i + 1), (i + 1, 0))]
    assert max(joint_sizes(bottleneck, 21)) == 3


def test_buckets_add_up_for_shuffled_scopes() -> None:
    """Factors are aligned by variable, in whatever order their scope names them."""
    problem = random_problem("triples", np.random.default_rng(4), variables=6)
    plan = Plan(problem.sizes, problem.scopes)
    buckets = plan.buckets(problem.latencies)
    for answer in enumerate_all(problem)[::17]:
        assert plan.total(buckets, np.array(answer.assignment)) == pytest.approx(answer.latency_ms)


@pytest.mark.parametrize("layers", [1, 3])
def test_labels_beaten_often_enough_are_dropped(layers: int) -> None:
    """Against counting, for each label, all that beat it: none with fewer is lost, none beyond the last layer kept."""
    rng = np.random.default_rng(0)
    states, costs, losses = rng.integers(3, size=80), rng.random(80), rng.random(80)
    better = (
        (states[:, None] == states) & (costs[:, None] >= costs) & (losses[:, None] >= losses) & ~np.eye(80, dtype=bool)
    )
    kept = set(undominated(states, costs, losses, layers).tolist())
    assert set(np.flatnonzero(better.sum(axis=1) < layers)) <= kept
    if layers == 1:
        assert kept == set(np.flatnonzero(better.sum(axis=1) == 0))
    assert len(kept) < 80
