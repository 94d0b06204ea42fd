"""Choosing at equal latency, and slimming a supernet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from choosing import Slimmed, published, settled
from choosing import greedy as greedy_method
from latency_truths import QUIET, SETTING, measure, residual_space, tiled_device
from protocol import Final
from tasks import uniforms_at

from edgewidth.errors import InputError
from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.fit import fit_table
from edgewidth.latency.predict import Predictor
from edgewidth.records.measurement import LatencyEstimate, Statistic

if TYPE_CHECKING:
    from edgewidth.records.table import LatencyTable


BUDGET = Final("exact", 0.3, 0, 0)


def _table() -> LatencyTable:
    space, rng = residual_space(), np.random.default_rng(0)
    configs = [space.smallest, space.largest, *(space.sample(rng) for _ in range(14))]
    visits = measure(tiled_device(space), configs, QUIET, rng)
    return fit_table(space, SETTING, Statistic.MEDIAN, visits, [])


class Scale:
    """A bench on which a configuration takes its widths' sum, and what is proposed is wrong by a factor."""

    def __init__(self, wrong: float) -> None:
        self.wrong = wrong

    def measure(self, configs: list[ChannelConfig]) -> None:
        """Nothing to do."""

    def estimate(self, config: ChannelConfig) -> LatencyEstimate:
        """The sum, known exactly."""
        value = self.wrong * sum(config)
        return LatencyEstimate(
            statistic=Statistic.MEDIAN,
            value_ms=value,
            low_ms=value,
            high_ms=value,
            visits=1,
            runs=1,
            counted_percent=100,
            all_ms=value,
        )


@pytest.mark.parametrize("wrong", [0.8, 1.0, 1.3])
def test_choices_are_made_again_until_they_measure_at_the_budget(wrong: float) -> None:
    """Whatever the table gets wrong, all methods end within one percent below the budget."""
    bench: Any = Scale(wrong)
    choice = settled(bench, BUDGET, 1000.0, lambda latency_ms: ChannelConfig([int(latency_ms)]))
    assert 990 <= choice.measured.value_ms <= 1000
    assert choice.config == ChannelConfig([round(choice.measured.value_ms / wrong)])
    assert (len(choice.tries) > 1) == (wrong != 1.0)


def test_a_method_that_never_fits_is_an_error() -> None:
    """It proposes twice the budget whatever it is asked for."""
    bench: Any = Scale(1.0)
    with pytest.raises(RuntimeError, match="none of 10"):
        settled(bench, BUDGET, 1000.0, lambda _: ChannelConfig([2000]))


def test_slimming_stops_at_the_budget_and_fills_it(tmp_path: Path) -> None:
    """By predicted latency it stays within; no single step up would still fit; every loss is computed once."""
    table = _table()
    space, predictor = table.space, Predictor(table)
    asked: list[ChannelConfig] = []

    def loss(config: ChannelConfig) -> float:
        asked.append(config)
        return sum(1 / width for width in config)

    path = tmp_path / "slimming.jsonl"
    budget_ms = 0.5 * float(predictor.predict([space.largest]).mean_ms[0])
    chosen = greedy_method(table, Slimmed(path, space, loss))(budget_ms)
    assert predictor.predict([chosen]).mean_ms[0] <= budget_ms
    indices = np.array(space.indices(chosen))
    for variable, choices in enumerate(space.variables):
        if indices[variable] + 1 < len(choices.choices):
            larger = space.config((indices + np.eye(len(indices), dtype=int)[variable]).tolist())
            assert predictor.predict([larger]).mean_ms[0] > budget_ms
    assert len(asked) == len(set(asked))

    again = Slimmed(path, space, lambda _: pytest.fail("it is known"))
    assert len(again) == len(asked)
    assert greedy_method(table, again)(budget_ms) == chosen


def test_published_slimming_drops_what_loses_least_whatever_it_saves(tmp_path: Path) -> None:
    """As told step by step, without numbers in arrays; of what is left nothing is filled."""
    table = _table()
    space, predictor = table.space, Predictor(table)

    def loss(config: ChannelConfig) -> float:
        return sum((index + 1) / width for index, width in enumerate(config))

    budget_ms = 0.5 * float(predictor.predict([space.largest]).mean_ms[0])
    current = space.largest
    while predictor.predict([current]).mean_ms[0] > budget_ms:
        narrower = []
        for place, variable in enumerate(space.variables):
            if lower := [width for width in variable.choices if width < current[place]]:
                narrower.append(ChannelConfig([*current[:place], lower[-1], *current[place + 1 :]]))
        current = min(narrower, key=loss)
    assert published(table, Slimmed(tmp_path / "published.jsonl", space, loss))(budget_ms) == current
    assert greedy_method(table, Slimmed(tmp_path / "greedy.jsonl", space, loss))(budget_ms) != current


def test_a_line_cut_off_by_a_kill_is_computed_again(tmp_path: Path) -> None:
    """The others are kept, and what is written after it can be read again."""
    space = residual_space()
    path = tmp_path / "slimming.jsonl"
    first = Slimmed(path, space, lambda config: float(sum(config)))
    first.loss(space.smallest)
    first.loss(space.largest)
    path.write_text(path.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    kept = Slimmed(path, space, lambda config: float(sum(config)))
    assert len(kept) == 1
    assert kept.loss(space.largest) == sum(space.largest)
    again = Slimmed(path, space, lambda _: pytest.fail("it is known"))
    assert len(again) == 2
    assert again.loss(space.largest) == sum(space.largest)


def test_budgets_are_those_of_uniform_networks() -> None:
    """The nearest ones by prediction; never the narrowest, which would leave nothing to choose from."""
    table = _table()
    uniforms = list(table.space.uniforms())
    latencies_ms = Predictor(table).predict(uniforms).mean_ms.tolist()
    shares = [latency_ms / latencies_ms[-1] for latency_ms in latencies_ms]
    assert uniforms_at(table, [shares[2] * 1.001, shares[1] * 0.999]) == [uniforms[2], uniforms[1]]
    with pytest.raises(InputError, match="only the narrowest network fits") as raised:
        uniforms_at(table, [shares[2], shares[0] * 0.9])
    assert f"{shares[0] * 0.9:.0%}" in str(raised.value)
