"""The whole job on the fake device, whose true latencies are known: real training, conversions and artifacts."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from small_job import ReachedError, make_job, reached

from edgewidth.errors import InfeasibleBudgetError, MismatchError
from edgewidth.graph.families.registry import search_space
from edgewidth.records.artifact import Artifacts
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.losses import NarrowedFor, UnaryLosses, VariableLosses
from edgewidth.records.provenance import Provenance
from edgewidth.records.run import Narrowing
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.report.inputs import read_seconds
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.profile import ProfilePlan, refit
from edgewidth.stages.refine import RefinePlan
from edgewidth.stages.report import report_of
from edgewidth.stages.run import Job, run
from edgewidth.stages.search import search, table_budget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edgewidth.devices.device import Device
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.measurement import Setting, Visit
    from edgewidth.records.report import Report

FILES = [
    "run.json",
    "measurements.sqlite",
    "table.json",
    "supernet.safetensors",
    "losses.json",
    "search.json",
    "judged.json",
    "weights.safetensors",
    "model_int8.tflite",
    "model_float32.tflite",
    "model_int8.onnx",
    "model_float32.onnx",
    "labels.txt",
    "report.json",
    "report.html",
]
"""The files that the contract promises of a run."""


@pytest.fixture(scope="module")
def job() -> Job:
    return make_job()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("run"))


class FirstRun(NamedTuple):
    report: Report
    reached: int
    """How often the device was reached."""
    seconds: float
    """How long all of it took."""


@contextmanager
def counted_reaches() -> Iterator[list[str]]:
    """The devices that are reached within, by name."""
    from edgewidth.devices.device import open_device

    names: list[str] = []

    def opened(profile: DeviceProfile, **options: Any) -> AbstractContextManager[Device]:
        names.append(profile.name)
        return open_device(profile, **options)

    with pytest.MonkeyPatch.context() as patch:
        for module in ("bench", "validate"):
            patch.setattr(f"edgewidth.stages.{module}.open_device", opened)
        yield names


@pytest.fixture(scope="module")
def first_run(job: Job, folder: RunFolder) -> FirstRun:
    began = time.monotonic()
    with counted_reaches() as names:
        return FirstRun(run(job, folder), len(names), time.monotonic() - began)


@pytest.fixture(scope="module")
def report(first_run: FirstRun) -> Report:
    return first_run.report


@pytest.fixture
def again(folder: RunFolder, report: Report, tmp_path: Path) -> RunFolder:
    """A copy of the first run's folder, for a second one."""
    del report
    copied = RunFolder(tmp_path / "again")
    shutil.copytree(folder.path, copied.path)
    return copied


def true_ms(path: Path) -> float:
    from edgewidth.devices.fake.operators import read_operators
    from edgewidth.devices.fake.transport import latency_ms

    return latency_ms(read_operators(path.read_bytes()))


def test_everything_is_written(report: Report, folder: RunFolder) -> None:
    assert [name for name in FILES if not (folder.path / name).is_file()] == []
    assert report.missing == ()


def test_the_seconds_of_the_stages_are_those_of_the_run(first_run: FirstRun) -> None:
    """But for what comes before and after them. There are no rivals: to see that may take a tenth of a second."""
    seconds = first_run.report.seconds
    there = [stage for stage in seconds if stage != "rivals"]
    assert there == ["profile", "train", "search", "judge", "finetune", "export", "validate"]
    assert 0.7 * first_run.seconds < sum(seconds.values()) <= first_run.seconds + 0.05 * len(seconds)


def test_the_emitted_file_is_truly_within_the_budget(report: Report, folder: RunFolder) -> None:
    assert report.verdict == "within budget"
    assert report.budget is not None
    assert true_ms(folder.path / "model_int8.tflite") <= 1.01 * report.budget.latency_ms


def test_nothing_on_the_frontier_within_the_budget_is_better(report: Report, folder: RunFolder) -> None:
    del report
    result = SearchResult.read(folder.search)
    within = [p.predicted_loss for p in result.frontier if p.predicted_ms <= 0.97 * result.budget.latency_ms]
    assert result.chosen.predicted_loss <= min(within) + 1e-9


def test_measured_and_predicted_agree_with_the_truth(report: Report, folder: RunFolder) -> None:
    truth = true_ms(folder.path / "model_int8.tflite")
    assert report.measured is not None
    assert report.predicted is not None
    assert report.measured.value_ms == pytest.approx(truth, rel=0.03)
    assert report.predicted.value_ms == pytest.approx(truth, rel=0.05)


def test_the_choice_and_the_baselines_are_judged_on_images_of_their_own(
    job: Job, report: Report, folder: RunFolder
) -> None:
    """The supernet's own losses on the judge images stand beside what was predicted."""
    from edgewidth.training.evaluation import Evaluator
    from edgewidth.training.networks.weights import load_supernet

    evaluator = Evaluator(load_supernet(folder.supernet, job.request.space), job.data, images="holdout")
    assert evaluator.images == len(job.data.holdout.targets)
    chosen, greedy = (next(c for c in report.candidates if c.method == method) for method in ("chosen", "greedy"))
    assert chosen.judged_loss is not None
    assert greedy.judged_loss is not None
    between = evaluator.loss(greedy.config) - evaluator.loss(chosen.config)
    assert greedy.behind == pytest.approx(between, abs=1e-5)
    assert greedy.judged_loss - chosen.judged_loss == pytest.approx(between, abs=1e-5)


def test_when_the_time_is_up_the_first_that_keeps_the_budget_is_enough(
    job: Job, again: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though this loop, which nothing settles, would go on for eight rounds."""
    monkeypatch.setattr("edgewidth.stages.run.judge", reached)
    for file in (again.search, again.judged, again.weights, again.artifacts):
        file.unlink()
    plan = RefinePlan(visits=4, settled=-1.0, time_budget_s=0.0)
    with pytest.raises(ReachedError):
        run(dataclasses.replace(job, refine_plan=plan), again)
    steps = SearchResult.read(again.search).refinement
    assert steps[-1].round == next(step.round for step in steps if step.within_budget)
    assert steps[-1].round < plan.most_rounds - 1


def test_the_choice_was_measured_and_beats_the_uniform_one(report: Report, folder: RunFolder) -> None:
    del report
    result = SearchResult.read(folder.search)
    assert result.measured is not None
    assert result.measured.high_ms <= result.budget.latency_ms
    assert result.chosen.config in [step.config for step in result.refinement]
    uniform = result.baselines["uniform"]
    assert result.chosen.predicted_loss <= uniform.predicted_loss + result.certificate.gap


def test_a_finished_run_does_nothing_again(job: Job, folder: RunFolder, report: Report) -> None:
    def written() -> dict[str, int]:
        return {name: (folder.path / name).stat().st_mtime_ns for name in FILES if not name.startswith("report")}

    before = written()
    assert run(job, folder).measured == report.measured
    assert written() == before


def test_the_device_is_reached_once_and_only_to_measure(job: Job, again: RunFolder, first_run: FirstRun) -> None:
    """Once for the table, the candidates and the file together; for the file alone; and never where all is done."""
    assert first_run.reached == 1
    with counted_reaches() as names:
        run(job, again)
        assert names == []
        again.validation.unlink()
        run(job, again)
        assert names == ["fake"]


def test_what_an_option_asks_for_is_made_anew_by_force(
    job: Job, again: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the run before is shown: not its comparison either."""
    monkeypatch.setattr("edgewidth.stages.run.profile", reached)
    again.comparison.write_text("of the run before")
    again.times.write_text('{"train": 1000.0}\n')
    with pytest.raises(ReachedError):
        run(job, again, force=True)
    assert not again.comparison.exists()
    assert "train" not in read_seconds(again.times)


def test_a_measurement_of_another_file_is_made_again(
    job: Job, again: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after ``edgewidth export --force`` in the same folder; what the baselines were judged by stays."""
    monkeypatch.setattr("edgewidth.stages.run.validate", reached)
    artifacts = Artifacts.read(again.artifacts)
    changed = []
    for one in artifacts.artifacts:
        content = (again.path / one.file).read_bytes() + b"another"
        (again.path / one.file).write_bytes(content)
        changed.append(one.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()}))
    artifacts.model_copy(update={"artifacts": tuple(changed)}).write(again.artifacts)
    judged = again.judged.stat().st_mtime_ns
    with pytest.raises(ReachedError):
        run(job, again)
    assert again.judged.stat().st_mtime_ns == judged


def test_a_file_that_is_gone_is_exported_again(job: Job, again: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is not done without what it promises."""
    monkeypatch.setattr("edgewidth.stages.run.export", reached)
    (again.path / "model_int8.onnx").unlink()
    with pytest.raises(ReachedError):
        run(job, again)


@pytest.mark.parametrize("content", [b"cut off", None])
def test_no_verdict_is_told_of_a_file_that_has_changed(
    job: Job, again: RunFolder, report: Report, content: bytes | None
) -> None:
    """Neither by a run, which keeps it, nor by a report; whether it was cut off or another model took its place."""
    assert report.verdict == "within budget"
    model = again.path / "model_int8.tflite"
    model.write_bytes(content or (again.path / "model_float32.tflite").read_bytes())
    before = model.read_bytes()
    with pytest.raises(
        MismatchError, match=r"artifacts\.json is not of this run; .*model_int8\.tflite has changed since"
    ):
        run(job, again)
    assert model.read_bytes() == before
    told = report_of(again)
    assert told.verdict != "within budget"
    assert [one.code for one in told.warnings if "model_int8.tflite has changed since" in one.message] == [
        "out-of-date"
    ]


@pytest.mark.parametrize("budget", ["60%", "0.0001ms"])
def test_force_removes_nothing_where_no_run_can_follow(
    job: Job, again: RunFolder, folder: RunFolder, budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device does not answer, or nothing meets the budget."""
    expected: type[Exception] = InfeasibleBudgetError
    if budget == "60%":
        monkeypatch.setattr("edgewidth.stages.bench.open_device", reached)
        expected = ReachedError
    request = job.request.model_copy(update={"budget": BudgetRequest.parse(budget)})
    with pytest.raises(expected):
        run(dataclasses.replace(job, request=request), again, force=True)
    for one in folder.path.rglob("*.*"):
        if one.is_file() and one != folder.measurements:
            assert (again.path / one.relative_to(folder.path)).read_bytes() == one.read_bytes()


def test_a_file_of_the_runs_precision_is_exported_where_a_verb_made_others(
    job: Job, again: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``edgewidth export`` does without the precision of the run."""
    monkeypatch.setattr("edgewidth.stages.run.export", reached)
    artifacts = Artifacts.read(again.artifacts)
    others = tuple(one for one in artifacts.artifacts if one.precision is not job.target.precision)
    artifacts.model_copy(update={"artifacts": others}).write(again.artifacts)
    with pytest.raises(ReachedError):
        run(job, again)


def test_a_narrowed_run_goes_on_where_it_was_killed(
    job: Job, folder: RunFolder, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the range of widths began to narrow, it ends with the supernet of an unbroken one."""
    from edgewidth.training.loop import loop
    from edgewidth.training.loop.checkpoint import Checkpoint, Checkpoints

    class KilledError(Exception):
        pass

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    def save(checkpoints: Checkpoints, checkpoint: Checkpoint) -> None:
        original(checkpoints, checkpoint)
        if checkpoint.step == 14:
            raise KilledError

    original = Checkpoints.save
    del report
    narrowed = dataclasses.replace(job, request=job.request.model_copy(update={"narrowing": Narrowing()}))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("edgewidth.stages.run.refine", killed)  # so far and no further
    monkeypatch.setattr("edgewidth.stages.train.LEAST_EVALUATIONS", 8)  # of an untrained supernet: as good as any
    folders = [RunFolder(tmp_path / name) for name in ("unbroken", "broken")]
    for one in folders:
        one.path.mkdir()
        for file in (folder.measurements, folder.table):
            shutil.copy(file, one.path)
    with pytest.raises(KilledError):
        run(narrowed, folders[0])
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(KilledError):
            run(narrowed, folders[1])
    assert not folders[1].supernet.exists()
    with pytest.raises(KilledError):
        run(narrowed, folders[1])
    unbroken, broken = (UnaryLosses.read(one.losses) for one in folders)
    assert folders[0].supernet.read_bytes() == folders[1].supernet.read_bytes()
    assert unbroken == broken
    assert len(broken.narrowing) == 4
    with pytest.raises(MismatchError, match="narrowing was"):
        run(job, folders[1])


def test_a_refit_needs_no_device_and_knows_what_was_learned(folder: RunFolder, report: Report) -> None:
    del report
    held_out = {held.config for held in LatencyTable.read(folder.table).held_out}
    table = refit(folder)
    assert {held.config for held in table.held_out} == held_out
    assert SearchResult.read(folder.search).chosen.config in {visits.config for visits in table.fitted}


def test_losses_of_other_images_or_widths_are_refused(job: Job, tmp_path: Path) -> None:
    """Before anything is measured: edgewidth train may have left them in the folder."""
    from report import sample

    losses = UnaryLosses.read(sample.sample_folder(tmp_path / "sample").losses)
    mine = of_space(job.request.space, losses)
    for found, message in ((losses, "resolution: 32 here"), (mine, "images: not the same")):
        refuses(job, RunFolder(tmp_path / "run"), found, message)


def of_space(space: SearchSpace, losses: UnaryLosses) -> UnaryLosses:
    """As if they were of another space, in which no width costs anything and nothing was evaluated."""
    choices = {variable.name: len(variable.choices) for variable in space.variables}
    nothing = [
        VariableLosses(variable=name, values=(0.0,) * count, standard_errors=(0.0,) * count)
        for name, count in choices.items()
    ]
    marginals = tuple((1 / count,) * count for count in choices.values())
    return losses.model_copy(
        update={
            "space": space,
            "variables": tuple(nothing),
            "pairs": (),
            "fitted": (),
            "held_out": tuple(one.model_copy(update={"evaluated": ()}) for one in losses.held_out),
            "rivals": None,
            "narrowing": tuple(step.model_copy(update={"marginals": marginals}) for step in losses.narrowing),
        }
    )


def refuses(job: Job, folder: RunFolder, losses: UnaryLosses, message: str) -> None:
    """Before anything is measured, and the folder is as unclaimed as it was."""
    losses.write(folder.losses)
    with pytest.raises(MismatchError, match=message):
        run(job, folder)
    assert [file.name for file in folder.path.iterdir()] == ["losses.json"]


def test_losses_of_another_training_are_refused(job: Job, tmp_path: Path) -> None:
    """Another seed has trained on search and judge images; what narrowed serves one device and budget."""
    from report import sample

    from edgewidth.training.provenance import supernet_training

    folder, trained = RunFolder(tmp_path / "run"), supernet_training(job.data, job.recipe, seed=0, start="0123")
    narrowed = of_space(job.request.space, UnaryLosses.read(sample.sample_folder(tmp_path / "sample").losses))
    narrowed = narrowed.model_copy(update={"data_fingerprint": job.data.fingerprint, "provenance": trained})
    plain = narrowed.model_copy(update={"narrowing": ()})
    for change, message in (
        ({"seed": 1}, "this run; seed: 0 here, 1 there"),
        ({"recipe": "another"}, "this run; recipe: not the same"),
    ):
        found = plain.model_copy(update={"provenance": trained.extended({}, change)})
        refuses(job, folder, found, message)
    refuses(job, folder, narrowed, "narrowing: none here, some there")
    narrow = dataclasses.replace(job, request=job.request.model_copy(update={"narrowing": Narrowing()}))
    refuses(narrow, folder, plain, "narrowing: begin=.* here, none there")


def test_losses_narrowed_for_another_device_or_budget_are_refused(
    job: Job, folder: RunFolder, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For this one they are used: a share of the uniform network, predicted or measured, is the same budget."""
    monkeypatch.setattr("edgewidth.stages.run.refine", reached)
    assert report.budget is not None
    table, budget = LatencyTable.read(folder.table), report.budget
    narrow = dataclasses.replace(job, request=job.request.model_copy(update={"narrowing": Narrowing()}))
    mine = RunFolder(tmp_path)
    for file in (folder.measurements, folder.table):
        shutil.copy(file, mine.path)

    def found(setting: Setting, latency_ms: float) -> None:
        about = budget.model_copy(update={"latency_ms": latency_ms})
        narrowed = NarrowedFor(setting=setting, budget=about, schedule=Narrowing())
        UnaryLosses.read(folder.losses).model_copy(update={"narrowed": narrowed}).write(mine.losses)

    found(table.setting, 0.5 * budget.latency_ms)
    with pytest.raises(MismatchError, match=r"budget: .* ms .* here, .* there"):
        run(narrow, mine)
    found(table.setting.model_copy(update={"threads": 4}), budget.latency_ms)
    with pytest.raises(MismatchError, match="threads: 1 here, 4 there"):
        run(narrow, mine)
    assert not mine.run.exists()
    found(table.setting, 1.01 * budget.latency_ms)
    with pytest.raises(ReachedError):
        run(narrow, mine)


@pytest.fixture
def learned(folder: RunFolder, report: Report, tmp_path: Path) -> RunFolder:
    """A folder in which everything before the search was done by other verbs."""
    del report
    for file in (folder.measurements, folder.table, folder.losses, folder.supernet):
        shutil.copy(file, tmp_path)
    return RunFolder(tmp_path)


def test_a_search_of_predictions_is_measured_and_one_for_another_budget_is_refused(
    job: Job, learned: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What edgewidth search has left is no answer of a run, and none that a run replaces unasked."""
    monkeypatch.setattr("edgewidth.stages.run.refine", reached)
    table, losses = LatencyTable.read(learned.table), UnaryLosses.read(learned.losses)
    for budget in ("55%", "70%"):
        search(table, losses, table_budget(BudgetRequest.parse(budget), table)).write(learned.search)
        before = learned.search.read_bytes()
        with pytest.raises(MismatchError, match=r"search\.json is not of this run; budget: .* here, .* there"):
            run(job, learned)
        assert learned.search.read_bytes() == before
        assert not learned.run.exists()
    search(table, losses, table_budget(BudgetRequest.parse("60%"), table)).write(learned.search)
    with pytest.raises(ReachedError):
        run(job, learned)


def test_what_was_trained_of_a_prediction_is_not_chosen_again(
    job: Job, learned: RunFolder, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``edgewidth search`` and ``finetune`` in the same folder: the run goes on with their network."""
    chosen = SearchResult.read(folder.search)
    chosen.model_copy(update={"measured": None}).write(learned.search)
    before = learned.search.read_bytes()
    shutil.copy(folder.weights, learned.weights)
    monkeypatch.setattr("edgewidth.stages.run.export", reached)
    with pytest.raises(ReachedError):
        run(job, learned)
    assert learned.search.read_bytes() == before


def test_force_begins_again_over_what_no_run_has_made(
    job: Job, learned: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was refused for what other verbs left can be forced; for a table that does not fit nothing goes."""
    losses = UnaryLosses.read(learned.losses)
    losses.model_copy(update={"data_fingerprint": "0" * 16, "provenance": Provenance()}).write(learned.losses)
    with pytest.raises(MismatchError, match=r"losses\.json is not of this run"):
        run(job, learned)
    other = learned.path / "other.json"
    table = LatencyTable.read(learned.table)
    network = search_space("mobilenet_v1", resolution=64, in_channels=1, num_classes=10).network
    table.model_copy(update={"space": table.space.model_copy(update={"network": network})}).write(other)
    with pytest.raises(MismatchError, match="another search space"):
        run(dataclasses.replace(job, prior=other), learned, force=True)
    assert learned.losses.exists()
    monkeypatch.setattr("edgewidth.stages.run.profile", reached)
    with pytest.raises(ReachedError):
        run(job, learned, force=True)
    assert not learned.losses.exists()


def test_a_choice_by_other_losses_is_refused(
    job: Job, learned: RunFolder, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after another training in the same folder; by these it is used."""
    shutil.copy(folder.search, learned.search)
    monkeypatch.setattr("edgewidth.stages.run.judge", reached)
    with pytest.raises(ReachedError):
        run(job, learned)
    losses = UnaryLosses.read(learned.losses)
    losses.model_copy(update={"offset": losses.offset + 0.01}).write(learned.losses)
    with pytest.raises(MismatchError, match=r"this run; losses: losses\.json has changed since"):
        run(job, learned)


def test_weights_and_files_of_another_configuration_are_refused(
    job: Job, learned: RunFolder, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay; those of the choice are used."""
    from edgewidth.training.networks.plain import PlainNetwork
    from edgewidth.training.networks.weights import save_plain

    for file in (folder.search, folder.judged):
        shutil.copy(file, learned.path)
    space = job.request.space
    save_plain(PlainNetwork(space, space.largest), learned.weights)
    before = learned.weights.read_bytes()
    with pytest.raises(MismatchError, match=r"weights\.safetensors is not of this run; configuration: "):
        run(job, learned)
    assert learned.weights.read_bytes() == before
    shutil.copy(folder.weights, learned.weights)
    monkeypatch.setattr("edgewidth.stages.run.export", reached)
    with pytest.raises(ReachedError):
        run(job, learned)
    Artifacts.read(folder.artifacts).model_copy(update={"config": space.largest}).write(learned.artifacts)
    with pytest.raises(MismatchError, match=r"artifacts\.json is not of this run; configuration: "):
        run(job, learned)


def test_another_run_in_the_same_folder_is_refused(job: Job, folder: RunFolder, report: Report) -> None:
    del report
    other = dataclasses.replace(job, request=job.request.model_copy(update={"seed": 1}))
    with pytest.raises(MismatchError, match="seed was 0, now 1"):
        run(other, folder)


def test_the_same_images_by_another_path_are_the_same_run(job: Job, folder: RunFolder, report: Report) -> None:
    data = job.request.data.model_copy(update={"source": "elsewhere"})
    again = dataclasses.replace(job, request=job.request.model_copy(update={"data": data}))
    assert run(again, folder).measured == report.measured


def test_an_infeasible_budget_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A higher one can then be asked for in the same folder, whose table it takes."""
    for _ in range(2):
        with pytest.raises(InfeasibleBudgetError, match="the fastest is measured at"):
            run(make_job("0.01ms"), RunFolder(tmp_path))
    assert not (tmp_path / "supernet.safetensors").exists()
    assert (tmp_path / "table.json").exists()
    monkeypatch.setattr("edgewidth.stages.run.profile", None)
    monkeypatch.setattr("edgewidth.stages.run.train", reached)
    with pytest.raises(ReachedError):
        run(make_job(), RunFolder(tmp_path))
    with pytest.raises(MismatchError, match="budget was"):
        run(make_job("70%"), RunFolder(tmp_path))


def test_what_was_measured_before_a_kill_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewidth.devices.measure.store import MeasurementStore

    class KilledError(Exception):
        pass

    job, folder = make_job("0.01ms"), RunFolder(tmp_path)
    before: list[tuple[str, float]] = []
    original = MeasurementStore.add

    def add(store: MeasurementStore, setting: Setting, name: str, visit: Visit) -> bool:
        before.append((visit.model, visit.started_s))
        if len(before) > 20:
            raise KilledError
        return original(store, setting, name, visit)

    monkeypatch.setattr(MeasurementStore, "add", add)
    with pytest.raises(KilledError):
        run(job, folder)
    monkeypatch.undo()
    with pytest.raises(InfeasibleBudgetError):
        run(job, folder)
    with MeasurementStore(folder.measurements) as store:
        visits = store.visits(LatencyTable.read(folder.table).setting)
    kept = {(visit.model, visit.started_s) for some in visits.values() for visit in some}
    assert set(before[:20]) <= kept
    assert all(len({visit.round for visit in some}) == len(some) for some in visits.values())


def test_a_kill_between_two_fits_leaves_no_table_that_passes_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    plan = ProfilePlan(first=24, held_out=8, step=8, most=32, target_error_percent=1e-9)
    job, folder = dataclasses.replace(make_job(), profile_plan=plan), RunFolder(tmp_path)
    monkeypatch.setattr("edgewidth.stages.profile.next_configs", killed)
    with pytest.raises(KilledError):
        run(job, folder)
    assert folder.measurements.exists()
    assert not folder.table.exists()
