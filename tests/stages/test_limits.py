"""Budgets beside latency: file size, multiply-accumulates, activation memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from report import sample

from edgewidth.errors import InfeasibleBudgetError, InputError
from edgewidth.formats.sizes import element_bytes, file_bytes
from edgewidth.graph.costs import costs, layer_factors
from edgewidth.graph.families.registry import search_space
from edgewidth.latency.factors import latency_factors
from edgewidth.latency.fit import fit_table
from edgewidth.records.budget import Budget, BudgetRequest, Limits, parse_count
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import FormatName, Precision, Statistic
from edgewidth.records.table import ConfigVisits, LatencyTable
from edgewidth.search.problem import Factor, total
from edgewidth.stages.search import Question, search

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Question:
    folder = sample.sample_folder(tmp_path_factory.mktemp("sample"), slower=0.985)
    drawn = LatencyTable.read(folder.table)
    space, rng, factors = drawn.space, np.random.default_rng(0), latency_factors(drawn)
    configs = list({space.sample(rng) for _ in range(60)})
    rows = np.array([space.indices(config) for config in configs])
    true_ms = factors.offset_ms + total([Factor(*factor) for factor in factors.factors], rows)
    visits = [
        ConfigVisits(config=config, values_ms=(ms,), started_s=(float(i),))
        for i, (config, ms) in enumerate(zip(configs, true_ms.tolist(), strict=True))
    ]
    table = fit_table(space, drawn.setting, Statistic.MEDIAN, visits, [])
    return Question(table, UnaryLosses.read(folder.losses))


def bytes_of(question: Question, config: ChannelConfig) -> float:
    space = question.table.space
    rows = np.array([space.indices(config)])
    layers = layer_factors(space)
    return float(
        total([Factor(one.scope, file_bytes(one, Precision.INT8, FormatName.TFLITE)) for one in layers], rows)[0]
    )


def test_layer_factors_are_the_costs() -> None:
    """Their sums, and of activations the most, are what counting a whole configuration gives."""
    space = search_space("mobilenet_v1", resolution=96, in_channels=3, num_classes=10)
    layers, rng = layer_factors(space), np.random.default_rng(0)
    for config in (space.smallest, space.largest, *(space.sample(rng) for _ in range(20))):
        rows, found = np.array([space.indices(config)]), costs(space, config)
        assert total([Factor(one.scope, one.macs) for one in layers], rows) == found.macs
        assert total([Factor(one.scope, one.parameters) for one in layers], rows) == found.parameters
        peaks = [total([Factor(one.scope, one.activations)], rows)[0] for one in layers]
        assert max(peaks) == found.peak_activations


def test_the_best_within_all_budgets(question: Question) -> None:
    """It keeps each of them, and no better one is found among many random ones that do."""
    space, free = question.table.space, search(question.table, question.losses, Budget(latency_ms=sample.BUDGET_MS))
    chosen = costs(space, free.chosen.config)
    limits = Limits(
        size_bytes=0.8 * bytes_of(question, free.chosen.config),
        macs=0.9 * chosen.macs,
        activation_bytes=0.9 * chosen.peak_activations,
    )
    result = search(question.table, question.losses, Budget(latency_ms=sample.BUDGET_MS, limits=limits))
    found = costs(space, result.chosen.config)
    assert bytes_of(question, result.chosen.config) <= (limits.size_bytes or 0)
    assert found.macs <= (limits.macs or 0)
    assert found.peak_activations <= (limits.activation_bytes or 0)
    assert result.chosen.predicted_ms <= sample.BUDGET_MS
    assert result.chosen.predicted_loss >= free.chosen.predicted_loss
    limited = Question(question.table, question.losses, limits).problem
    rng = np.random.default_rng(0)
    rows = np.array([space.indices(space.sample(rng)) for _ in range(4000)])
    rows = np.vstack([rows, np.minimum(rows, space.indices(result.chosen.config))])
    kept = rows[limited.within(rows, sample.BUDGET_MS)]
    assert len(kept) > 100
    assert result.chosen.predicted_loss - result.certificate.gap <= limited.loss(kept).min() + 1e-9


@pytest.mark.parametrize("limits", [{"size_bytes": 1e4}, {"macs": 1e3}, {"activation_bytes": 100}])
def test_what_cannot_be_kept_is_said(question: Question, limits: dict[str, float]) -> None:
    """With the budget at fault, not the latency."""
    budget = Budget(latency_ms=sample.BUDGET_MS, limits=Limits(**limits))
    with pytest.raises(InfeasibleBudgetError, match="the latency alone could be kept"):
        search(question.table, question.losses, budget)


def test_amounts() -> None:
    """As people write them."""
    assert [parse_count(text) for text in ("2MB", "300 kB", "50M", "1.5G", "77")] == [2e6, 3e5, 5e7, 1.5e9, 77]
    for text in ("", "MB", "-3M", "0", "2 m", "1e6", "2MiB"):
        with pytest.raises(InputError, match="is not an amount"):
            parse_count(text)
    request = BudgetRequest.parse("60%").model_copy(update={"limits": Limits(size_bytes=2e6, macs=5e7)})
    assert str(request) == "60%, 2 MB of file, 50 M MACs"
    assert request.resolve(10.0, Statistic.MEDIAN).limits == request.limits
    assert (element_bytes(Precision.INT8), element_bytes(Precision.FLOAT32)) == (1, 4)
