"""What is counted, fitted and searched of the toy network, whose layers read several segments."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from latency_truths import QUIET, SETTING, measure
from safetensors.torch import save_file
from toy_network import CHANNELS, FIXED, OUTPUTS, SIZE, toy_space

from edgewidth.graph.costs import costs, mac_factors, peak_factors
from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.fit import fit_table
from edgewidth.latency.predict import Predictor, latency_factors
from edgewidth.losses.fit import neighbours
from edgewidth.records.measurement import Statistic
from edgewidth.search.baselines import brute_force
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor, total
from edgewidth.search.problem import PeakBudget, Problem, SumBudget
from edgewidth.training.networks.pretrained import start_from
from edgewidth.training.networks.supernet import Supernet

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.table import LatencyTable

SPACE = toy_space((8, 16, 24, 40))
EVERY = [SPACE.config(indices) for indices in product(range(4), repeat=4)]


def counted(config: ChannelConfig) -> tuple[int, int, int]:
    """Multiply-accumulates, parameters and the most activations that live at once, by hand."""
    a, b, c, d = config
    join, middle, small = b + FIXED + c, (SIZE // 2) ** 2, (SIZE // 4) ** 2
    kernels = {
        "stem": (9 * CHANNELS * a, middle),
        "left": (a * b, middle),
        "fixed": (a * FIXED, middle),
        "right": (9 * a * c, middle),
        "spread": (9 * join, middle),
        "main": (9 * join * d, small),
        "second": (9 * d * d, small),
        "shortcut": (join * d, small),
        "stay": (9 * d * d, small),
        "logits": (2 * d * OUTPUTS, 1),
    }
    macs = sum(weights * pixels for weights, pixels in kernels.values())
    biases = a + b + FIXED + c + join + 4 * d + OUTPUTS
    activations = [
        SIZE**2 * CHANNELS + middle * a,
        middle * (a + join),
        middle * 2 * join + small * d,
        middle * join + small * 3 * d,
        small * 4 * d,
    ]
    return macs, sum(weights for weights, _ in kernels.values()) + biases, max(activations)


def test_costs_are_those_counted_by_hand() -> None:
    """Of every configuration, at once and as the factors of a search."""
    assert [tuple(costs(SPACE, config)) for config in EVERY] == [counted(config) for config in EVERY]
    assignments = np.array([SPACE.indices(config) for config in EVERY])
    macs, _, activations = np.array([counted(config) for config in EVERY]).T
    assert np.array_equal(total([Factor(*one) for one in mac_factors(SPACE)], assignments), macs)
    peaks = [total([Factor(one.scope, one.values)], assignments) for one in peak_factors(SPACE)]
    assert np.array_equal(np.max(peaks, axis=0), activations)


def test_neighbours_are_the_widths_that_meet_in_a_layer() -> None:
    """The segments b and c of the joined tensor both meet d, and not each other."""
    a, b, c, d = range(4)
    assert neighbours(SPACE) == ((a, b), (a, c), (b, d), (c, d))


def latency_ms(config: ChannelConfig) -> float:
    """Work in groups of eight channels, and what every layer costs by itself."""
    a, b, c, d = (-(-width // 8) * 8 for width in config)
    macs, _, _ = counted(ChannelConfig((a, b, c, d)))
    return 0.05 + macs / 4e6 + 1e-4 * sum(config)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    rng = np.random.default_rng(0)
    order = [EVERY[i] for i in rng.permutation(len(EVERY))]
    fitted, apart = (measure(latency_ms, some, QUIET, rng) for some in (order[:60], order[60:100]))
    return fit_table(SPACE, SETTING, Statistic.MEDIAN, fitted, apart)


def test_a_table_learns_layers_of_several_segments(table: LatencyTable) -> None:
    """An entry for each segment, over two variables at most, and predictions that hold on other configurations."""
    scopes = {entry.layer: entry.scope for entry in table.entries}
    assert (scopes["main"], scopes["main:2"], scopes["main:3"]) == (("b", "d"), ("d",), ("c", "d"))
    assert (scopes["join"], scopes["join:2"], scopes["join:3"]) == (("b",), (), ("c",))
    assert (scopes["twice"], scopes["twice:2"], scopes["logits"], scopes["logits:2"]) == (("d",),) * 4
    assert table.quality.mape_percent < 1
    predicted = Predictor(table).predict(EVERY).mean_ms
    np.testing.assert_allclose(predicted, [latency_ms(config) for config in EVERY], rtol=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_exact_search_finds_what_trying_everything_finds(table: LatencyTable, seed: int) -> None:
    """Within latency, multiply-accumulates and activations, for losses over variables and their neighbours."""
    rng = np.random.default_rng(seed)
    sizes = tuple(len(variable.choices) for variable in SPACE.variables)
    scopes = [*((v,) for v in range(len(sizes))), *neighbours(SPACE)]
    losses = tuple(Factor(scope, rng.normal(size=[sizes[v] for v in scope])) for scope in scopes)
    latency = latency_factors(table)
    latencies = (Factor((), np.array(latency.offset_ms)), *(Factor(*factor) for factor in latency.factors))
    middle = counted(ChannelConfig((24, 24, 24, 24)))
    problem = Problem(
        sizes,
        losses,
        latencies,
        sums=(SumBudget("MACs", tuple(Factor(*one) for one in mac_factors(SPACE)), middle[0]),),
        peaks=(PeakBudget("activations", tuple(Factor(p.scope, p.values) for p in peak_factors(SPACE)), middle[2]),),
    )
    budget_ms = float(np.median(problem.latency_ms(np.array(list(product(range(4), repeat=4))))))
    tried = brute_force(problem, budget_ms)
    assert tried is not None
    assert solve(problem, budget_ms).best.loss == pytest.approx(tried.loss)


def test_weights_of_other_widths_arrive_segment_by_segment(tmp_path: Path) -> None:
    """From a file whose b and d are narrower and whose c is wider; what it has reads what it lacks with zeros."""
    theirs, ours = (toy_space(choices) for choices in ((4, 9), (2, 6)))
    narrow = theirs.model_copy(
        update={
            "variables": tuple(
                variable.model_copy(update={"choices": {"b": (3,), "d": (5,)}.get(variable.name, (9,))})
                for variable in theirs.variables
            )
        }
    )
    given = Supernet(narrow, seed=1).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in given.items()}, tmp_path / "own.safetensors")
    network = Supernet(ours, seed=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert start_from(network, tmp_path / "own.safetensors") == []
    expected = before["layers.main.kernel"].clone()
    source = given["layers.main.kernel"]
    expected[:5] = 0
    for mine, theirs_too in ((slice(3), slice(3)), (slice(6, 9), slice(3, 6)), (slice(9, 15), slice(6, 12))):
        expected[:5, mine] = source[:5, theirs_too]
    assert torch.equal(network.state_dict()["layers.main.kernel"], expected)
