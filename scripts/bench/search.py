#!/usr/bin/env python3
"""How fast and how good the search is, on random tables like those of real devices.

exact_ms                      answer and frontier, MobileNet-v1 with 14 width variables or the network named: median
                              over the tables of the best of three runs
budget_used_percent           of the budget that the exact answer uses: median
gain_over_lagrangian_percent  of the Lagrangian answer's excess loss that the exact one saves: median
worst_gain_percent            the least of these
proven_percent                of the answers whose certificate has no gap
brute_force_equal             whether 200 random small graphs give what trying everything gives
residual_s                    answer and frontier, 50 width variables of a residual network: the slowest of three

With --graph, on a few tables of a network of that kind, some of the above and:

variables                     width variables
states                        of all tables together that exact elimination would need
slowest_ms                    answer and frontier, the slowest table
gap_percent                   of the certificate, in parts of the frontier's range of losses: the largest
frontier_gap_percent          by which the frontier could be improved on, the same way: mean along it
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from graphs import GRAPHS, residual_space

from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.graph.widths import variables_of
from edgewidth.search.baselines import brute_force, lagrangian
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor
from edgewidth.search.feasible import fastest
from edgewidth.search.problem import Problem

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Part
    from edgewidth.graph.space import SearchSpace
    from edgewidth.graph.spec import Layer
    from edgewidth.search.factors import Array
    from edgewidth.search.solution import Solution

TABLES = 50
SMALL_GRAPHS = 200
GRAPH_TABLES = 3
REPEATS = 3


def random_table(space: SearchSpace, rng: np.random.Generator) -> Problem:
    """Latencies by layer from multiply-accumulates and memory traffic, perturbed; losses falling with the width."""
    place = {variable.name: i for i, variable in enumerate(space.variables)}
    speed = rng.lognormal(0, 0.3)
    latencies = []
    for layer in space.network.layers:
        for part in layer.operator.parts(layer.reads, layer.output):
            values = _part_ms(space, layer, part, speed) * rng.uniform(0.93, 1.07, _table_shape(space, part))
            scope = variables_of((part.source, part.target))
            latencies.append(Factor(tuple(place[name] for name in scope), _over(values, part)))
    return Problem(tuple(len(v.choices) for v in space.variables), _random_losses(space, rng), tuple(latencies))


def _table_shape(space: SearchSpace, part: Part) -> tuple[int, int]:
    return len(space.choices_of(part.source)), len(space.choices_of(part.target))


def _part_ms(space: SearchSpace, layer: Layer, part: Part, speed: float) -> Array:
    """Channels are computed in groups of 16 on the way out, so that latency ascends in stairs."""
    operator, pixels = layer.operator, layer.output.pixels
    inputs = np.array(space.choices_of(part.source), dtype=float)[:, np.newaxis]
    outputs = np.array(space.choices_of(part.target), dtype=float)[np.newaxis]
    stairs: Array = 0.5 * outputs + 0.5 * 16 * np.ceil(outputs / 16)
    traffic: Array = 1e-7 * (inputs * layer.reads[0].pixels + outputs * pixels)
    if operator.mixes:
        computed = 1e-8 * inputs * stairs * operator.taps * pixels
    else:
        computed = 1e-7 * operator.taps * outputs * pixels
    result: Array = speed * (computed + traffic) + 0.002
    return result


def _over(values: Array, part: Part) -> Array:
    """(in, out) as a table over the layer's distinct variables."""
    if part.source == part.target:
        return np.diagonal(values).copy()
    kept = [isinstance(width, str) for width in (part.source, part.target)]
    return values[tuple(slice(None) if keep else 0 for keep in kept)]


def _random_losses(space: SearchSpace, rng: np.random.Generator) -> tuple[Factor, ...]:
    """Two coefficients per variable, on base/width and on log(base/width), and a little noise; the widest has 0."""
    factors = []
    for i, variable in enumerate(space.variables):
        ratio = variable.base / np.array(variable.choices)
        losses = rng.uniform(0.005, 0.1) * ratio + rng.uniform(0, 0.1) * np.log(ratio)
        losses += rng.normal(0, 0.002, len(losses))
        factors.append(Factor((i,), losses - losses[-1]))
    return tuple(factors)


def binding_budget(problem: Problem, rng: np.random.Generator) -> float:
    """Between the fastest assignment's latency and the largest one's."""
    least, most = fastest(problem).latency_ms, problem.point([size - 1 for size in problem.sizes]).latency_ms
    return float(least + rng.uniform(0.15, 0.7) * (most - least))


class Timed(NamedTuple):
    """A solution and how long it took."""

    solution: Solution
    seconds: float


def timed_solve(problem: Problem, budget_ms: float) -> Timed:
    """Answer and frontier: the least of three times, which other work on the machine disturbs least."""
    runs = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        solution = solve(problem, budget_ms)
        runs.append(Timed(solution, time.perf_counter() - start))
    return min(runs, key=lambda run: run.seconds)


def family_numbers(network: str, rng: np.random.Generator) -> dict[str, float]:
    """Speed and quality over random tables of a family at the resolution that it was published for."""
    space = search_space(network)
    seconds, used, gains, proven = [], [], [], []
    for _ in range(TABLES):
        problem = random_table(space, rng)
        budget_ms = binding_budget(problem, rng)
        solution, taken = timed_solve(problem, budget_ms)
        rival = lagrangian(problem, budget_ms)
        if rival is None:
            raise AssertionError("a feasible budget always has a vertex of the hull within it")
        seconds.append(taken)
        used.append(100 * solution.best.latency_ms / budget_ms)
        gains.append(100 * (rival.loss - solution.best.loss) / rival.loss)
        proven.append(solution.certificate.gap == 0)
    return {
        "exact_ms": 1000 * float(np.median(seconds)),
        "budget_used_percent": float(np.median(used)),
        "gain_over_lagrangian_percent": float(np.median(gains)),
        "worst_gain_percent": float(min(gains)),
        "proven_percent": 100 * float(np.mean(proven)),
    }


def small_graph(rng: np.random.Generator) -> Problem:
    """Up to six variables of up to five choices, with random factors over one to three of them."""
    sizes = tuple(int(size) for size in rng.integers(1, 6, rng.integers(2, 7)))

    def factors(count: int, low: float) -> tuple[Factor, ...]:
        scopes = [rng.permutation(len(sizes))[: rng.integers(1, 4)] for _ in range(count)]
        return tuple(Factor(tuple(map(int, s)), rng.uniform(low, 1, [sizes[v] for v in s])) for s in scopes)

    return Problem(sizes, factors(8, -1.0), factors(8, 0.0))


def brute_force_equal(rng: np.random.Generator) -> bool:
    """Whether exact search and trying everything agree on small graphs."""
    for _ in range(SMALL_GRAPHS):
        problem = small_graph(rng)
        budget_ms = binding_budget(problem, rng) if max(problem.sizes) > 1 else fastest(problem).latency_ms
        budget_ms = max(budget_ms, fastest(problem).latency_ms)
        tried = brute_force(problem, budget_ms)
        if tried is None or abs(solve(problem, budget_ms).best.loss - tried.loss) > 1e-9:
            return False
    return True


def graph_numbers(space: SearchSpace, rng: np.random.Generator) -> dict[str, float]:
    """Speed and certificates over a few random tables of one network's graph."""
    states, seconds, gains, proven, gaps, frontier_gaps = 0, [], [], [], [], []
    for _ in range(GRAPH_TABLES):
        problem = random_table(space, rng)
        states = sum(problem.plan.states(step.joint) for step in problem.plan.steps)
        budget_ms = binding_budget(problem, rng)
        (best, _, certificate, frontier), taken = timed_solve(problem, budget_ms)
        rival = lagrangian(problem, budget_ms)
        if rival is not None:
            gains.append(100 * (rival.loss - best.loss) / rival.loss)
        seconds.append(taken)
        proven.append(certificate.gap == 0)
        span = float(np.ptp(frontier.losses)) or 1.0
        gaps.append(100 * certificate.gap / span)
        frontier_gaps.append(100 * float((frontier.losses - frontier.lower_bounds).mean()) / span)
    return {
        "variables": len(space.variables),
        "states": float(states),
        "exact_ms": 1000 * float(np.median(seconds)),
        "slowest_ms": 1000 * max(seconds),
        "gain_over_lagrangian_percent": float(np.median(gains)),
        "proven_percent": 100 * float(np.mean(proven)),
        "gap_percent": max(gaps),
        "frontier_gap_percent": max(frontier_gaps),
    }


def residual_seconds(rng: np.random.Generator) -> float:
    """The slowest of a few tables."""
    space = residual_space()
    if len(space.variables) != 50:
        raise AssertionError(f"the benchmark is of 50 width variables, not {len(space.variables)}")
    return graph_numbers(space, rng)["slowest_ms"] / 1000


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--network", choices=list(FAMILIES), default="mobilenet_v1")
    which.add_argument("--graph", choices=list(GRAPHS), help="how the width variables meet, in place of a network")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--seed", type=int, default=0, help="of the random tables")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    numbers: dict[str, float | bool] = {}
    if options.graph:
        numbers |= graph_numbers(GRAPHS[options.graph](), rng)
    else:
        numbers |= family_numbers(options.network, rng)
        numbers |= {"brute_force_equal": brute_force_equal(rng), "residual_s": residual_seconds(rng)}
    if options.json:
        print(json.dumps(numbers))
    else:
        print("\n".join(f"{name:30} {value:.4g}" for name, value in numbers.items()))


if __name__ == "__main__":
    main()
