"""Budgets beside latency: file size, multiply-accumulates, activation memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from report import sample

from edgewidth.errors import InfeasibleBudgetError, InputError
from edgewidth.files import cache_folder
from edgewidth.formats.sizes import METADATA_BYTES, element_bytes
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.costs import costs, mac_factors, peak_factors
from edgewidth.graph.families.registry import search_space
from edgewidth.latency.fit import fit_table
from edgewidth.latency.predict import latency_factors
from edgewidth.records.budget import Budget, BudgetRequest, Limits, parse_count
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import Precision, Statistic
from edgewidth.records.table import ConfigVisits, LatencyTable
from edgewidth.search.factors import Factor, total
from edgewidth.stages.search import Question, search

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    return Question(table, UnaryLosses.read(folder.losses).model_copy(update={"rivals": None}))


class Counted(NamedTuple):
    """What a configuration needs: bytes of an int8 .tflite, multiply-accumulates, bytes of activations."""

    size: int
    macs: int
    memory: int

    def keeps(self, most: Counted) -> bool:
        """Whether none of them is more."""
        return all(have <= limit for have, limit in zip(self, most, strict=True))


def count(config: Sequence[int], size: int = 0) -> Counted:
    """MobileNet-v1 at 96 × 96 pixels and 10 classes, layer by layer as its paper draws it."""
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    pixels, inputs = 48**2, config[0]
    macs, memory = 27 * inputs * pixels, [3 * 96**2 + inputs * pixels]
    for stride, outputs in zip(strides, config[1:], strict=True):
        before, pixels = pixels, pixels // stride**2
        macs += (9 * inputs + inputs * outputs) * pixels
        memory += [inputs * (before + pixels), (inputs + outputs) * pixels]
        inputs = outputs
    return Counted(size, macs + 10 * inputs, max(memory))


def latency_by_hand(table: LatencyTable, config: ChannelConfig) -> float:
    """The entries of the layers summed, and on the curve, straight between its points on logarithmic scales."""
    names = [variable.name for variable in table.space.variables]
    index = dict(zip(names, table.space.indices(config), strict=True))
    summed = table.offset_ms
    for entry in table.entries:
        places = [index[name] for name in entry.scope]
        row, column = (0,) * (2 - len(places)) + tuple(places)
        summed += entry.values_ms[row][column]
    sums, latencies = np.log(np.transpose(table.curve))
    return float(np.exp(np.interp(np.log(summed), sums, latencies)))


def test_factors_are_the_costs() -> None:
    """Of arithmetic their sum, of activations the most is what counting a whole configuration gives, by hand too."""
    space = search_space("mobilenet_v1", resolution=96, in_channels=3, num_classes=10)
    macs = [Factor(*factor) for factor in mac_factors(space)]
    peaks, rng = peak_factors(space), np.random.default_rng(0)
    assert all(peak.exact for peak in peaks)
    for config in (space.smallest, space.largest, *(space.sample(rng) for _ in range(20))):
        rows, found = np.array([space.indices(config)]), costs(space, config)
        assert total(macs, rows) == found.macs
        live = [total([Factor(one.scope, one.values)], rows)[0] for one in peaks]
        assert max(live) == found.peak_activations
        assert (found.macs, found.peak_activations) == (count(config).macs, count(config).memory)


def test_the_best_within_all_budgets(question: Question) -> None:
    """It keeps each of them, and no better one is found among many random ones that do, all counted by hand."""
    table, truth = question.table, sample.make_truth()
    space, free = table.space, search(table, question.losses, Budget(latency_ms=sample.BUDGET_MS))
    factory = VariantFactory(space, Precision.INT8, table.setting.engine.file_format, cache_folder())

    def count_all(config: ChannelConfig) -> Counted:
        return count(config, factory.size.bytes_at(space.widths(config)) + METADATA_BYTES)

    needed = count_all(free.chosen.config)
    most = Counted(needed.size * 8 // 10, needed.macs * 9 // 10, needed.memory * 9 // 10)
    limits = Limits(size_bytes=most.size, macs=most.macs, activation_bytes=most.memory)
    result = search(table, question.losses, Budget(latency_ms=sample.BUDGET_MS, limits=limits))
    chosen = result.chosen
    assert count(chosen.config, len(factory.variant(chosen.config)) + METADATA_BYTES).keeps(most)
    assert latency_by_hand(table, chosen.config) == pytest.approx(chosen.predicted_ms)
    assert chosen.predicted_ms <= sample.BUDGET_MS
    assert chosen.predicted_loss == pytest.approx(truth.loss(chosen.config))
    assert chosen.predicted_loss > free.chosen.predicted_loss
    rng = np.random.default_rng(0)
    rows = np.array([space.indices(space.sample(rng)) for _ in range(1500)])
    rows = np.vstack([rows, np.minimum(rows, space.indices(chosen.config))])
    others = [space.config(row) for row in rows.tolist()]
    kept = [
        truth.loss(one)
        for one in others
        if count_all(one).keeps(most) and latency_by_hand(table, one) <= sample.BUDGET_MS
    ]
    assert len(kept) > 100
    assert chosen.predicted_loss - result.certificate.gap <= min(kept) + 1e-9


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
