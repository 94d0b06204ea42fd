"""What the light installation can do, as docs/install.md says it: without PyTorch, TensorFlow and all other extras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report import sample
from small_table import small_table
from small_training import small_space, striped_images

from edgewidth.formats.registry import FORMATS
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.families.registry import search_space
from edgewidth.records.losses import EvaluationPhase, UnaryLosses, VariableLosses
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
HEAVY = ("torch", "tensorflow", "sklearn", "accelerate", "adbutils", "ethosu", "keras")
SITE = f"""import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder that was made elsewhere, a model, and a Python in which what is heavy cannot be imported."""
    sample.sample_folder(tmp_path / "run")
    space = small_space()
    small_table(space).write(tmp_path / "table.json")
    losses(space).write(tmp_path / "losses.json")
    images, labels = striped_images(64, np.random.default_rng(0))
    np.savez(tmp_path / "images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    (tmp_path / "model.tflite").write_bytes(FORMATS[FormatName.TFLITE].trial())
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    return tmp_path


def losses(space: SearchSpace) -> UnaryLosses:
    """Every width costs what its place from the widest says."""
    variables = tuple(
        VariableLosses(
            variable=one.name,
            values=tuple(0.1 * place for place in range(len(one.choices)))[::-1],
            standard_errors=(0.01,) * len(one.choices),
        )
        for one in space.variables
    )
    return UnaryLosses(
        space=space,
        data_fingerprint="0" * 16,
        images=64,
        offset=0.0,
        variables=variables,
        fitted=(),
        held_out=(),
        sigma=0.01,
        evaluation=EvaluationPhase(cost="latency", stopped="settled", rounds=()),
        max_loss=0.5,
    )


def edgewidth(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(map(str, (folder / "site", ROOT)))
    environment = {**os.environ, "PYTHONPATH": paths, "EDGEWIDTH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "edgewidth", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "words",
    [
        "devices list",
        "devices check fake",
        "validate model.tflite --device fake --budget 1000ms",
        "report run",
        "table show run/table.json",
        "search --table table.json --losses losses.json --budget 99% --out chosen",
        "network mobilenet_v2",
    ],
)
def test_what_needs_nothing_heavy(folder: Path, words: str) -> None:
    done = edgewidth(folder, *words.split())
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert "Traceback" not in done.stderr


def test_profiling_needs_no_converter_for_what_was_converted_before(folder: Path) -> None:
    """As on a machine that got the cache folder of another one."""
    space = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=3)
    VariantFactory(space, Precision.INT8, FormatName.TFLITE, folder / "cache")
    words = ("profile", "--device", "fake", "--data", "images.npz", "--resolution", "32", "--out", "out")
    done = edgewidth(folder, *words)
    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert (folder / "out" / "table.json").exists()


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("train --out out", "train"),
        ("run --out out", "train"),
        ("network mine.py:network", "train"),
        ("profile --device fake --data images.npz --resolution 32 --out out", "export"),
        ("devices check android", "adb"),
        ("validate model.tflite --device ethos-u85-256", "ethos-u"),
    ],
)
def test_what_is_missing_is_told_with_the_line_that_installs_it(folder: Path, words: str, extra: str) -> None:
    (folder / "mine.py").write_text("network = None\n")
    done = edgewidth(folder, *words.split())
    assert done.returncode == 3
    assert f"pip install 'edgewidth[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_names_every_verb() -> None:
    from edgewidth.cli.verbs import VERBS

    rows = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
    named = {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert set(VERBS) <= named
