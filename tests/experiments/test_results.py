"""What the page says of numbers, and how several machines come to one page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from choosing import Choice, Slimmed
from comparing import Mean, Row, better
from page import BEGIN, END, write_page
from protocol import Experiment, Final, Protocol, Uniform, Uniforms
from report.sample import losses, make_truth
from results import Results
from scipy.stats import norm, ttest_1samp
from search_images import regret, regret_by_trained
from small_experiment import MEASURED, PROTOCOL, small_experiment
from supernets import Learned, Supernet
from tasks import SCORES, Scores

from edgewidth.errors import FileError, MismatchError
from edgewidth.graph.space import ChannelConfig

SUPERNET = Supernet(
    seed=0,
    evaluated=30,
    held_out={"random": {"configs": 9, "spearman": 0.5}},
    seconds=2.5,
    slimmed=7,
    slimming_seconds=1.5,
    learned=(Learned(budget=0.25, rivals=12, supernet_spearman=0.5, corrected_spearman=0.75),),
)


def test_errors_are_compared_within_budget_supernet_and_seed() -> None:
    """Ten percent wrong against eight is a fifth fewer errors; what lacks its rival does not count."""

    def row(method: str, seed: int, int8: float, supernet: int = 0) -> Row:
        return _row(Final(method, 0.3, supernet, seed), int8, 1 - int8 / 100)

    rows = [row("greedy", 0, 90), row("exact", 0, 92), row("greedy", 1, 90), row("exact", 2, 99), row("uniform", 1, 80)]
    assert better(rows, "exact", "greedy").fewer == {(0.3, 0): pytest.approx(20.0)}
    assert better(rows, "exact", "greedy").less == {(0.3, 0): pytest.approx(0.02)}
    assert better(rows, "greedy", "uniform").fewer == {(0.3, 0): pytest.approx(50.0)}
    assert not better(rows, "lagrangian", "greedy").fewer
    # The seeds of one choice are one value, those of two supernets two.
    rows += [row("exact", 1, 90), row("greedy", 0, 90, supernet=1), row("exact", 0, 93, supernet=1)]
    found = better(rows, "exact", "greedy")
    assert found.fewer == {(0.3, 0): pytest.approx(10.0), (0.3, 1): pytest.approx(30.0)}
    assert found.errors == found.at(0.3) == pytest.approx(Mean.of([10.0, 30.0]))


def test_intervals_are_students() -> None:
    """SciPy's own test has the same interval."""
    values = [3.0, 5.0, 4.5, 7.0]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    mean = Mean.of(values)
    assert (mean.value - mean.half, mean.value + mean.half) == pytest.approx((expected.low, expected.high))
    assert str(Mean.of([2.0])) == "2.00"


def test_intervals_of_groups_hold() -> None:
    """Of many sets of groups whose means differ and whose values vary alike, 95 % hold a group's true mean."""
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(2000):
        means = rng.normal(0, 5, 3)
        first, *_ = Mean.each([rng.normal(means[k], 1, 2 + k).tolist() for k in range(3)])
        held += abs(first.value - means[0]) <= first.half
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_regret_is_what_a_choice_by_few_images_loses() -> None:
    """Of two configurations: how much worse the worse one is, as often as so many images take it for the better one."""
    rng, worse, deviation, size = np.random.default_rng(5), 0.1, 1.0, 100
    base = rng.normal(0, 3, 20_000)  # what all configurations find hard cancels
    each = np.stack([base, base + rng.normal(worse, deviation, len(base))])
    worse = float(each[1].mean() - each[0].mean())
    expected = worse * norm.cdf(-worse * np.sqrt(size) / deviation)
    assert regret(each, size, rng) == pytest.approx(expected, rel=0.3)
    # Images that trained may take the worse one for the better one, however many they are.
    assert regret_by_trained(each[::-1], each, len(base), rng) == pytest.approx(worse)
    assert regret_by_trained(each, each, len(base), rng) == 0


def test_words_around_the_numbers_stay(tmp_path: Path) -> None:
    """Only what is between the marks is written again."""
    page = tmp_path / "results.md"
    page.write_text(f"# Mine\n\nbefore\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_page([], tmp_path)
    assert page.read_text(encoding="utf-8") == f"# Mine\n\nbefore\n{BEGIN}\n\n{END}\nafter\n"


def test_machines_add_their_supernets_to_one_page(tmp_path: Path) -> None:
    """Each has a folder of its own; what the page has of another one stays, and the same one's is replaced."""
    (tmp_path / "docs").mkdir()
    page, kept = tmp_path / "docs" / "results.md", tmp_path / "docs" / "results" / "small.json"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    protocol = small_experiment(tmp_path, "uniform", "greedy").protocol.model_copy(update={"supernets": 2})
    for folder, supernet, greedy, methods in (
        ("a", 0, 90.0, ("uniform", "greedy")),
        ("b", 1, 92.0, ("uniform", "greedy")),
        ("c", 1, 93.0, ("greedy",)),
        ("c", 1, 93.0, ("uniform",)),
    ):
        experiment = _begun(tmp_path / folder, protocol)
        for method in methods:
            _score(experiment, Final(method, 0.5, supernet, 0), greedy if method == "greedy" else 80.0)
        write_page([experiment], tmp_path / "docs")
        whole = len(Results.read(kept).networks)
        assert whole == (3 if methods == ("greedy",) else 2 + 2 * supernet)
    text, results = page.read_text(encoding="utf-8"), Results.read(kept)
    assert "4 of 4 final networks are done" in text
    assert {row.final: row.int8 for row in results.networks} == {
        final: 80.0 if final.method == "uniform" else (90.0, 93.0)[final.supernet] for final in protocol.finals
    }
    assert [row.final for row in results.networks] == protocol.finals
    assert "| greedy over uniform | 57.50 ± " in text  # half of 20 % errors fewer, and 65 %
    write_page([], tmp_path / "docs")
    write_page([_begun(tmp_path / "empty", protocol)], tmp_path / "docs")
    assert page.read_text(encoding="utf-8") == text


def test_results_of_another_protocol_or_budget_are_refused(tmp_path: Path) -> None:
    """Nothing is written then; nor where the file is damaged."""
    experiment = _begun(tmp_path / "one", small_experiment(tmp_path, "uniform").protocol)
    _score(experiment, experiment.protocol.finals[0], 80.0)
    write_page([experiment], tmp_path)
    written = (tmp_path / "results.md").read_text(encoding="utf-8")
    for folder, update, latency_ms in (("two", {"passes": 5}, 1.0), ("three", {}, 1.1)):
        other = _begun(tmp_path / folder, experiment.protocol.model_copy(update=update), latency_ms)
        _score(other, other.protocol.finals[0], 90.0)
        with pytest.raises(MismatchError, match="another protocol, or of other budgets"):
            write_page([other], tmp_path)
    (tmp_path / "results" / "small.json").write_text("[]", encoding="utf-8")
    with pytest.raises(FileError, match="not a JSON object"):
        write_page([experiment], tmp_path)
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == written


def test_supernets_without_networks_hide_no_others() -> None:
    """One that was judged on this machine, and whose networks another one has finished."""
    protocol = Protocol(**PROTOCOL, methods=("uniform",), supernets=2)

    def results(*supernets: int) -> Results:
        networks = tuple(_row(final, 80.0) for final in protocol.finals if final.supernet in supernets)
        judged = tuple(SUPERNET.model_copy(update={"seed": seed}) for seed in supernets)
        return Results(protocol=protocol, budgets_ms=(1.0,), networks=networks, supernets=judged)

    assert results(1).joined(results(0)) == results(0).joined(results(1)) == results(0, 1)


def test_a_supernet_is_told_of_once_its_losses_are_judged(tmp_path: Path) -> None:
    """What it cost beside slimming, how well its losses predict, and what the rivals of each budget taught."""
    protocol = small_experiment(tmp_path, "exact", "corrected").protocol.model_copy(update={"supernets": 2})
    experiment = _begun(tmp_path / "two", protocol)
    corrected, other = Final("corrected", 0.5, 0, 0), Final("corrected", 0.5, 1, 0)
    for final in (corrected, other):
        _score(experiment, final, 90.0)
    folder, found = experiment.supernet(corrected), losses(make_truth())
    assert found.rivals is not None
    found.model_copy(update={"rivals": None}).write(folder.losses)
    found.write(experiment.corrected(corrected).losses)
    held_out = {"random": {"configs": 100, "spearman": 0.875}}
    (folder.path / "quality.json").write_text(json.dumps(held_out), encoding="utf-8")
    (folder.path / "evaluation.json").write_text(json.dumps({"seconds": 2.5}), encoding="utf-8")
    slimmed = Slimmed(folder.path / "greedy.jsonl", experiment.space, lambda _: 0.5)
    for config in (experiment.space.largest, experiment.space.smallest):
        slimmed.loss(config)
    results = Results.of(experiment)
    assert results is not None
    assert results.supernets == (
        Supernet(
            seed=0,
            evaluated=2 + 18 + 12,
            held_out=held_out,
            seconds=2.5,
            slimmed=2,
            slimming_seconds=slimmed.seconds,
            learned=(Learned(budget=0.5, rivals=12, supernet_spearman=0.87, corrected_spearman=0.93),),
        ),
    )
    write_page([experiment], tmp_path)
    assert Results.read(tmp_path / "results" / "small.json") == results
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| 0 | 32 | random | 100 | 0.875 | 2 | " in page
    assert "| 0 | 50% | 12 | 0.87 | 0.93 |" in page


def _row(final: Final, int8: float, loss: float = 1.0) -> Row:
    return Row(final=final, config="8", latency_ms=1.0, used=100.0, int8=int8, float32=int8, loss=loss)


def _begun(folder: Path, protocol: Protocol, latency_ms: float = 1.0) -> Experiment:
    """An experiment whose budget is measured."""
    experiment = Experiment.begin(folder, protocol)
    measured = MEASURED.model_copy(update={"value_ms": latency_ms})
    uniform = Uniform(config=experiment.space.smallest, measured=measured)
    Uniforms(largest=measured, uniforms=(uniform,)).write(experiment.budgets)
    return experiment


def _score(experiment: Experiment, final: Final, percent: float) -> None:
    """As if it had been chosen, trained and measured."""
    config = ChannelConfig([*experiment.space.smallest[:-1], len(final.method)])  # those that chose alike share one
    Choice.given(final, config, MEASURED).write(experiment.choice(final))
    path = experiment.network(final, config).path / SCORES
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = Scores(config=config, measured=MEASURED, int8_percent=percent, float32_percent=percent, int8_loss=1.0)
    scores.write(path)
