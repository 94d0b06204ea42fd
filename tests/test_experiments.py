"""The experiment's own parts: choosing at equal latency, slimming a supernet, and what the page says of numbers."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equal_latency
import numpy as np
import pytest
import torch
from choosing import Choice, Slimmed, published, settled
from choosing import greedy as greedy_method
from comparing import Mean, Row, better
from imagenet import copy_imagenet
from jpeg_npz import converted
from latency_truths import QUIET, SETTING, measure, residual_space, tiled_device
from other_networks import other_network
from page import BEGIN, END, write_page
from PIL import Image
from protocol import Experiment, Final, Protocol, Uniform, Uniforms, load_data
from results import Results
from scipy.stats import norm, ttest_1samp
from search_images import regret, regret_by_trained
from small_training import KillAfter, Killed
from spent import Spent
from supernets import Learned, Supernet, supernet_lines
from tasks import SCORES, Scores, Task, all_tasks, uniforms_at

from edgewidth.data.split import load_images
from edgewidth.errors import FileError, InputError, MismatchError
from edgewidth.graph.costs import costs
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.fit import fit_table
from edgewidth.latency.predict import Predictor
from edgewidth.records.measurement import LatencyEstimate, Statistic
from edgewidth.training.networks.inference import fold_tensors, run_folded
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.recipes import FromTrained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.records.table import LatencyTable

BUDGET = Final("exact", 0.3, 0, 0)
MEASURED = LatencyEstimate.model_validate(
    {"statistic": "median", "value_ms": 1, "low_ms": 1, "high_ms": 1, "visits": 1, "runs": 1}
)
PROTOCOL: dict[str, Any] = {
    "name": "small",
    "data": "digits",
    "data_fingerprint": load_images("digits", resolution=16, seed=0).fingerprint,
    "images": (0, 0, 0, 0),
    "device": "fake",
    "resolution": 16,
    "min_width": 0.3,
    "max_width": 1.0,
    "levels": 2,
    "budgets": (0.5,),
    "seeds": (0,),
    "passes": 4,
    "recipe": "",
}
SPLITS = (("train", 80), ("test", 30))


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


def _experiment(folder: Path, *methods: str) -> Experiment:
    """One supernet, one budget, four passes after rivals."""
    protocol = Protocol(**PROTOCOL, methods=methods, supernets=1)
    return Experiment.begin(folder / "small", protocol)


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


def test_a_machine_may_train_some_of_the_supernets_alone(tmp_path: Path) -> None:
    """What all share, and what is theirs."""
    protocol = _experiment(tmp_path, "greedy", "corrected").protocol.model_copy(update={"supernets": 3})
    experiment = Experiment.begin(tmp_path / "three", protocol)
    some, every = ({task.name for task in all_tasks(experiment, these)} for these in ([1, 2], None))
    assert {name for name in every if not name.endswith("-0")} == some
    assert {"table", "supernet-1", "rivals-corrected-0.5-2", "choice-greedy-0.5-2"} < some


def test_a_supernet_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured."""
    protocol = _experiment(tmp_path, "uniform").protocol
    monkeypatch.setattr(equal_latency, "_protocol", lambda _: protocol)
    options = argparse.Namespace(only_supernets=[0, 1], folder=tmp_path / "new")
    with pytest.raises(InputError, match="no supernet 1: they are 0 to 0"):
        equal_latency.run(options)
    assert not options.folder.exists()


def test_methods_that_chose_alike_share_a_network(tmp_path: Path) -> None:
    """Where they train as long from one supernet; rivals are paid for by a shorter training, so that is another."""
    experiment = _experiment(tmp_path, "greedy", "exact", "corrected")
    for final in experiment.protocol.finals:
        Choice.given(final, ChannelConfig([8, 16]), MEASURED).write(experiment.choice(final))
    networks = [task.makes.parent.name for task in all_tasks(experiment) if task.name.startswith("network-")]
    assert [name.split("-")[-2] for name in networks] == ["6", "4"]


def test_cut_weights_are_trained_as_long_as_a_supernet_took_besides(tmp_path: Path) -> None:
    """Every image at full width and at a random one, and the teacher; it is no network that a supernet began."""
    experiment = _experiment(tmp_path, "uniform", "cut", "corrected")
    data = experiment.data
    space, phase = experiment.space, FromTrained().supernet
    config, rng = space.smallest, np.random.default_rng(7)
    own, whole = (costs(space, one).macs for one in (config, space.largest))
    at_random = np.mean([costs(space, space.sample(rng)).macs for _ in range(1000)])
    passes = phase.images / len(data.train) + phase.passes
    uniform, cut, corrected = (experiment.passes(final, config) for final in experiment.protocol.finals)
    assert (uniform, corrected) == (6, 4)
    assert (cut - uniform) * own == pytest.approx(passes * (whole + at_random) + 6 * whole / 3, rel=0.05)
    folders = [experiment.network(final, config).path for final in experiment.protocol.finals]
    assert len(set(folders)) == 3
    assert experiment.recipe(cut).phases(trained=True).finetune.epochs(len(data.train)) == cut


def test_only_the_first_images_train(tmp_path: Path) -> None:
    """Those that are tested stay."""
    rng, path = np.random.default_rng(0), tmp_path / "images.npz"
    arrays: dict[str, NDArray[np.generic]]
    arrays = {f"x_{split}": rng.integers(0, 256, (count, 8, 8, 1), np.uint8) for split, count in SPLITS}
    arrays |= {f"y_{split}": np.arange(count) % 2 for split, count in SPLITS}
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its keywords are arrays, but for one it knows
    data = load_data(str(path), resolution=8, first_images=50)
    kept = np.concatenate([part.images for part in (data.train, data.search, data.holdout)])
    assert sorted(image.tobytes() for image in kept) == sorted(image.tobytes() for image in arrays["x_train"][:50])
    assert len(data.test) == 30


def test_imagenet_weights_compute_what_their_authors_network_does(tmp_path: Path) -> None:
    theirs, path = other_network("efficientnet_lite0"), tmp_path / "theirs.pth"
    torch.save(theirs.state_dict(), path)
    space = search_space("efficientnet_lite0", resolution=64, num_classes=1000, min_width=1.0, max_width=1.0)
    network = PlainNetwork(space, space.largest)
    copy_imagenet(network, path)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    weights = fold_tensors(network.weights(), network.moments)
    with torch.inference_mode():
        ours, expected = run_folded(space.network, network.widths, weights, images), theirs(images)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


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


def test_what_a_killed_evaluation_took_counts(tmp_path: Path) -> None:
    """The second start adds to what the first had spent when it was killed, and what both knew is there."""
    path, spent = tmp_path / "evaluation.json", []

    def work() -> None:
        with Spent(path, KillAfter(2)).task("work", 3) as task:
            for _ in range(3):
                sum(range(200_000))
                task.advance()

    for _ in range(2):
        began = time.process_time()
        with pytest.raises(Killed):
            work()
        spent.append((json.loads(path.read_text())["seconds"], time.process_time() - began))
    (first, all_of_first), (both, all_of_second) = spent
    assert 0 < first <= all_of_first
    assert first < both <= first + all_of_second


def test_errors_are_compared_within_budget_supernet_and_seed() -> None:
    """Ten percent wrong against eight is a fifth fewer errors; what lacks its rival does not count."""

    def row(method: str, seed: int, int8: float, supernet: int = 0) -> Row:
        return Row(Final(method, 0.3, supernet, seed), "8", 1.0, 100.0, int8, int8, 1 - int8 / 100)

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
    protocol = _experiment(tmp_path, "uniform", "greedy").protocol.model_copy(update={"supernets": 2})
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
        whole = len(Results.read(kept).rows)
        assert whole == (3 if methods == ("greedy",) else 2 + 2 * supernet)
    text, results = page.read_text(encoding="utf-8"), Results.read(kept)
    assert "4 of 4 final networks are done" in text
    assert {row.final: row.int8 for row in results.rows} == {
        final: 80.0 if final.method == "uniform" else (90.0, 93.0)[final.supernet] for final in protocol.finals
    }
    assert [row.final for row in results.rows] == protocol.finals
    assert "| greedy over uniform | 57.50 ± " in text  # half of 20 % errors fewer, and 65 %
    write_page([], tmp_path / "docs")
    write_page([_begun(tmp_path / "empty", protocol)], tmp_path / "docs")
    assert page.read_text(encoding="utf-8") == text


def test_results_of_another_protocol_or_budget_are_refused(tmp_path: Path) -> None:
    """Nothing is written then; nor where the file is damaged."""
    experiment = _begun(tmp_path / "one", _experiment(tmp_path, "uniform").protocol)
    _score(experiment, experiment.protocol.finals[0], 80.0)
    write_page([experiment], tmp_path)
    written = (tmp_path / "results.md").read_text(encoding="utf-8")
    for folder, update, latency_ms in (("two", {"passes": 5}, 1.0), ("three", {}, 1.1)):
        other = _begun(tmp_path / folder, experiment.protocol.model_copy(update=update), latency_ms)
        _score(other, other.protocol.finals[0], 90.0)
        with pytest.raises(MismatchError, match="another protocol, or of other budgets"):
            write_page([other], tmp_path)
    (tmp_path / "results" / "small.json").write_text("[]", encoding="utf-8")
    with pytest.raises(FileError, match="no experiment's file of results"):
        write_page([experiment], tmp_path)
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == written


def test_supernets_without_networks_hide_no_others() -> None:
    """One that was judged on this machine, and whose networks another one has finished."""
    protocol = Protocol(**PROTOCOL, methods=("uniform",), supernets=2)
    rows = [Row(final, "8", 1.0, 100.0, 80.0, 80.0, 1.0) for final in protocol.finals]
    supernets = [Supernet(seed, 30, {}, float(seed), 0, 0.0, []) for seed in (0, 1)]
    mine = Results(protocol, (1.0,), rows[1:], supernets[1:])
    theirs = Results(protocol, (1.0,), rows[:1], supernets[:1])
    assert mine.joined(theirs) == theirs.joined(mine) == Results(protocol, (1.0,), rows, supernets)


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


def test_supernets_are_told_of_in_json_as_they_are() -> None:
    told = Supernet(1, 30, {"random": {"configs": 9, "spearman": 0.5}}, 2.5, 7, 1.5, [Learned(0.25, 12, 0.5, 0.75)])
    again = Supernet.of_fields(json.loads(json.dumps(told.fields)))
    assert again == told
    assert "| 1 | 25% | 12 | 0.50 | 0.75 |" in supernet_lines([again])


def test_jpeg_files_end_to_end_become_images() -> None:
    """One colour each, so that compression loses next to nothing."""
    files = []
    for level in (10, 200):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (level, level, level)).save(stream, "JPEG")
        files.append(stream.getvalue())
    ends = np.cumsum([0, *map(len, files)])
    both = np.frombuffer(b"".join(files), np.uint8)
    source = {"class_names": np.array(["a", "b"])}
    for split in ("train", "test"):
        source |= {f"jpeg_{split}": both, f"offsets_{split}": ends, f"y_{split}": np.array([0, 1])}
    found = converted(source)
    assert found["x_train"].shape == (2, 8, 8, 3)
    assert [int(image[0, 0, 0]) for image in found["x_test"]] == pytest.approx([10, 200], abs=1)


SLOW = """
import time
from pathlib import Path

import equal_latency
from protocol import Protocol
from tasks import Task, all_tasks

def slow(folder):
    (folder / "began").touch()
    try:
        time.sleep(120)
    finally:
        (folder / "ended").touch()

def protocol(options):
    return Protocol(
        name="slow", data="none", data_fingerprint="", images=(0, 0, 0, 0), device="fake", resolution=32,
        min_width=0.1, max_width=0.2, levels=2, budgets=(), supernets=0, seeds=(), passes=1, recipe="",
    )

equal_latency.__file__ = __file__
equal_latency._protocol = protocol
equal_latency.all_tasks = lambda one, *_: [Task("slow", (), one.folder / "made", lambda: slow(one.folder))]
raise SystemExit(equal_latency.main())
"""
"""The experiment with one piece of work, which takes longer than anybody waits."""


def test_an_experiment_that_is_told_to_end_leaves_nothing_at_work(tmp_path: Path) -> None:
    """Neither a task nor a lock; as long as either is at work, no second one is."""
    folder, script = tmp_path / "slow", tmp_path / "slow.py"
    script.write_text(SLOW)
    scripts = Path(equal_latency.__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(scripts), *filter(None, sys.path)])}

    def command(*words: str) -> list[str]:
        return [sys.executable, str(script), *words, "--folder", str(folder)]

    run = command("run", "--data", "none")
    with subprocess.Popen(run, env=environment, stderr=subprocess.PIPE) as process:
        while not (folder / "began").exists():
            assert process.poll() is None
            time.sleep(0.1)
        for second in (run, [*command("task"), "slow"]):
            done = subprocess.run(second, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 2
            assert "Another edgewidth is at work" in done.stderr
        assert not (folder / "ended").exists()
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert (folder / "ended").exists()
    assert list(folder.rglob(".lock")) == []


def test_a_task_that_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal_latency, "GRACE_S", 0.2)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # not of the tests' own process
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(120)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        equal_latency._end([process])
        assert process.returncode == -signal.SIGKILL


def test_tasks_wait_for_what_they_need(tmp_path: Path) -> None:
    """In the order of the list; what is there already is not done again."""

    def task(name: str, *needs: str) -> Task:
        return Task(name, tuple(tmp_path / need for need in needs), tmp_path / name, lambda: None)

    tasks = [task("a"), task("b", "a"), task("c"), task("d", "b", "c")]
    assert [one.name for one in equal_latency._ready(tasks, set())] == ["a", "c"]
    assert [one.name for one in equal_latency._ready(tasks, {"a"})] == ["c"]
    (tmp_path / "a").touch()
    assert [one.name for one in equal_latency._ready(tasks, set())] == ["b", "c"]
