"""The library's face: its functions and types are there by name, and load when they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from report import sample
from small_job import ReachedError, reached
from small_table import small_table
from small_tflite import small_tflite

import edgewidth
from edgewidth.errors import InputError, MismatchError
from edgewidth.records.budget import Budget
from edgewidth.records.measurement import Statistic
from edgewidth.stages import face

STAGES = ("run", "profile", "train", "search", "refine", "finetune", "export", "validate", "report")


def test_what_types_see_is_what_there_is() -> None:
    """The imports for type checkers and the table of names are the same, and every name leads somewhere."""
    tree = ast.parse(Path(edgewidth.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgewidth.")
        for alias in node.names
        if alias.name != "Shown"  # it is always there
    }
    assert seen == edgewidth._MODULES
    assert set(STAGES) < set(seen) <= set(dir(edgewidth))
    assert edgewidth.__version__[0].isdecimal()
    for name, module in seen.items() - {("__version__", "edgewidth.version")}:
        assert getattr(edgewidth, name).__module__.startswith("edgewidth."), (name, module)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(edgewidth, "nothing")  # noqa: B009  a name that type checkers refuse


@pytest.mark.parametrize("first", ["edgewidth.search.exact", "edgewidth.report.html"])
def test_a_room_does_not_hide_the_function_of_its_name(first: str) -> None:
    """In a fresh process, whichever was asked for first."""
    program = f"import {first}, edgewidth; print(callable(edgewidth.search), callable(edgewidth.report))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_stages_take_paths_and_words(tmp_path: Path) -> None:
    """A device by its profile's name, a budget as it is typed, documents or where they are; nothing is overwritten."""
    model = tmp_path / "model.tflite"
    model.write_bytes(small_tflite())
    assert edgewidth.validate(model, "fake", "1s").within_budget
    assert edgewidth.validate(model, "fake", "0.0001ms").within_budget is False
    with pytest.raises(InputError, match="60% of what"):
        edgewidth.validate(model, "fake", "60%")
    kept = edgewidth.validate(model, "fake", Budget(latency_ms=1e3), out=tmp_path / "kept")
    assert edgewidth.ValidationReport.read(tmp_path / "kept" / "validation.json") == kept
    assert kept.within_budget
    with pytest.raises(InputError, match=r"validation\.json exists"):
        edgewidth.validate(model, "fake", "1s", out=tmp_path / "kept")
    truth = sample.make_truth()
    table, losses = small_table(truth.space), sample.losses(truth)
    table.write(tmp_path / "t.json")
    losses.write(tmp_path / "l.json")
    found = edgewidth.search(tmp_path / "t.json", tmp_path / "l.json", "60%", out=tmp_path)
    assert edgewidth.SearchResult.read(tmp_path / "search.json") == found
    with pytest.raises(InputError, match=r"search\.json exists"):
        edgewidth.search(table, losses, "50%", out=tmp_path)
    sample.judged(truth, found).write(tmp_path / "judged.json")
    assert edgewidth.search(table, losses, "50%", out=tmp_path, force=True).budget != found.budget
    assert not (tmp_path / "judged.json").exists()  # it was of the choice before
    missing = ("profile", "train", "finetune", "export", "validate")
    assert edgewidth.report(tmp_path).missing == edgewidth.report(str(tmp_path)).missing == missing


def test_a_path_may_be_a_text_and_a_source_a_path(tmp_path: Path) -> None:
    """Wherever one is asked for."""
    model, kept = tmp_path / "model.tflite", tmp_path / "kept"
    model.write_bytes(small_tflite())
    assert edgewidth.validate(str(model), "fake", "1s", out=str(kept)).within_budget
    assert (kept / "validation.json").is_file()
    truth = sample.make_truth()
    table, losses = tmp_path / "t.json", tmp_path / "l.json"
    small_table(truth.space).write(table)
    sample.losses(truth).write(losses)
    assert edgewidth.search(str(table), str(losses)) == edgewidth.search(table, losses)
    source = tmp_path / "images.npz"
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(60, 8, 8), dtype=np.uint8), np.arange(60) % 2
    np.savez(source, x_train=images, y_train=labels, x_test=images, y_test=labels)
    found = [edgewidth.load_images(path, resolution=32, seed=0).fingerprint for path in (source, str(source))]
    assert found[0] == found[1]
    gone = str(tmp_path / "gone")
    with pytest.raises(edgewidth.EdgewidthError, match="gone could not be read"):
        edgewidth.finetune(truth.space.largest, source, truth.space, str(tmp_path / "new"), supernet=gone)


def test_a_budget_is_held_against_its_own_statistic(tmp_path: Path) -> None:
    """A device's name says nothing of how it is measured, so that follows the budget; a target is refused."""
    model = tmp_path / "model.tflite"
    model.write_bytes(small_tflite())
    budget = Budget(latency_ms=1e3, statistic=Statistic.P95)
    assert edgewidth.validate(model, "fake", budget).estimate.statistic is Statistic.P95
    with pytest.raises(MismatchError, match="budget is of the p95, and the median is measured"):
        edgewidth.validate(model, edgewidth.make_target("fake"), budget)


def test_candidates_are_measured_by_the_statistic_of_their_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of a tail does not learn from medians: a name is measured as the table was, a target refused."""
    truth = sample.make_truth()
    table = small_table(truth.space).model_copy(update={"statistic": Statistic.P95})
    losses = sample.losses(truth)
    table.write(tmp_path / "table.json")
    losses.write(tmp_path / "losses.json")

    @contextmanager
    def opened(target: edgewidth.Target, *_: object, **__: object) -> Iterator[SimpleNamespace]:
        facts = {"search space": truth.space, **table.setting.facts, "statistic": target.statistic}
        yield SimpleNamespace(facts=facts)

    monkeypatch.setattr(face, "open_bench", opened)
    monkeypatch.setattr("edgewidth.stages.refine._Loop", reached)
    with pytest.raises(ReachedError):
        edgewidth.refine("fake", tmp_path)
    with pytest.raises(MismatchError, match="statistic: median here, p95 there"):
        edgewidth.refine(edgewidth.make_target("fake"), tmp_path)
