"""The gate for pipelines: its script with the real program, and the action's steps as a runner would do them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from edgewidth.formats.registry import FORMATS
from edgewidth.records.measurement import FormatName

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
PROGRAM = f"""#!{sys.executable}
import sys
from edgewidth.cli.main import main
sys.exit(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean folder with a model, and edgewidth as a program where the action installs it."""
    (tmp_path / "model.tflite").write_bytes(FORMATS[FormatName.TFLITE].trial())
    program = tmp_path / "temp" / "edgewidth" / "bin" / "edgewidth"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return tmp_path


def start(folder: Path, words: list[str], values: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "EDGEWIDTH": str(folder / "temp" / "edgewidth" / "bin" / "edgewidth"),
        "EDGEWIDTH_CACHE": str(folder / "cache"),
        **values,
    }
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def gate(folder: Path, **values: str) -> subprocess.CompletedProcess[str]:
    return start(folder, [str(ROOT / "scripts" / "gate")], {"MODEL": "model.tflite", "DEVICE": "fake", **values})


def test_within_over_and_wrong(folder: Path) -> None:
    """validate's exit codes; numbers in the summary, and in the job's page where there is one."""
    page = folder / "page.md"
    assert gate(folder, BUDGET="1000ms", STATISTIC="p95", GITHUB_STEP_SUMMARY=str(page)).returncode == 0
    found = json.loads((folder / "edgewidth-gate" / "validation.json").read_text())
    assert found["within_budget"] is True
    assert found["estimate"]["statistic"] == "p95"
    summary = (folder / "edgewidth-gate" / "summary.md").read_text()
    assert f"{found['estimate']['value_ms']:.4g} ms" in summary
    assert "1000 ms: within" in summary
    assert page.read_text() == summary
    over = gate(folder, BUDGET="0.000001ms", OUT="other")
    assert over.returncode == 1
    assert "**over**" in over.stdout
    assert gate(folder, BUDGET="soon").returncode == 2
    assert not (folder / "edgewidth-gate" / "validation.json.part").exists()


def test_what_is_not_asked_for_is_not_over_a_budget(folder: Path) -> None:
    """Exit code 1 means that a file is too slow, and nothing else."""
    for given in ({"MODEL": ""}, {"DEVICE": ""}):
        done = gate(folder, **given)
        assert done.returncode == 2
        assert f"{next(iter(given))} is not set: MODEL names the .tflite" in done.stderr
    assert gate(folder, OUT="model.tflite/out").returncode == 3


def test_a_file_that_grew_slower_than_its_baseline(folder: Path) -> None:
    """By more than may be; one that is not there yet is passed over, and said."""
    first = gate(folder, BASELINE="baseline.json")
    assert first.returncode == 0
    assert "There is no baseline baseline.json yet" in first.stderr
    found = json.loads((folder / "edgewidth-gate" / "validation.json").read_text())
    (folder / "baseline.json").write_text(json.dumps(found))
    assert gate(folder, BASELINE="baseline.json").returncode == 0
    for name in ("value_ms", "low_ms", "high_ms"):
        found["estimate"][name] /= 1.5
    (folder / "baseline.json").write_text(json.dumps(found))
    slower = gate(folder, BASELINE="baseline.json", MAX_REGRESSION="20%")
    assert slower.returncode == 1
    assert "**too much**, 20 % may be" in slower.stdout
    assert gate(folder, BASELINE="baseline.json", MAX_REGRESSION="80%").returncode == 0


def test_a_verdict_of_before_is_not_taken_for_this_ones(folder: Path) -> None:
    """A device that fails leaves what it said, and nothing else."""
    out = folder / "edgewidth-gate"
    assert gate(folder, BUDGET="1000ms").returncode == 0
    assert {path.name for path in out.iterdir()} == {"validation.json", "summary.md", "log.txt"}
    failed = gate(folder, DEVICE="local", SET="python=/no/such/python")
    assert failed.returncode == 3
    assert {path.name for path in out.iterdir()} == {"log.txt"}
    assert "/no/such/python" in (out / "log.txt").read_text()


def test_a_baseline_that_would_be_replaced_is_refused(folder: Path) -> None:
    """It is not lost, either."""
    kept = folder / "edgewidth-gate" / "validation.json"
    assert gate(folder).returncode == 0
    before = kept.read_bytes()
    refused = gate(folder, BASELINE="edgewidth-gate/validation.json")
    assert refused.returncode == 2
    assert "keep it in another place" in refused.stderr
    assert kept.read_bytes() == before


def test_a_summary_commands_no_terminal(folder: Path) -> None:
    """Though a device may call itself anything."""
    assert gate(folder).returncode == 0
    kept = folder / "edgewidth-gate" / "validation.json"
    found = json.loads(kept.read_text())
    found["setting"]["hardware"] = "Pi \x1b[2J\r\n| 5 |"
    kept.write_text(json.dumps(found))
    told = start(folder, [sys.executable, str(ROOT / "scripts" / "gate_summary.py"), str(kept)], {}).stdout
    assert not {"\x1b", "\r"} & set(told)
    assert "Pi  [2J  \\| 5 \\|" in told


def test_what_is_given_is_never_a_command(folder: Path) -> None:
    """Quotes, semicolons and substitutions are part of a name, in every input."""
    evil = '"; touch evil; $(touch evil) `touch evil`'
    for name in ("MODEL", "DEVICE", "BUDGET", "STATISTIC", "MAX_REGRESSION", "SET", "OUT", "BASELINE"):
        gate(folder, **{name: evil})
    assert not list(folder.rglob("evil"))


def expanded(text: str, inputs: Mapping[str, str]) -> str:
    """An expression of the action as a runner fills it in."""
    known = {"github.action_path": str(ROOT), **{f"inputs.{name}": value for name, value in inputs.items()}}
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda match: known[match[1]], text)


def test_the_actions_steps(folder: Path) -> None:
    """As a runner does them, but for the installation; no input stands in a command's text."""
    steps: list[dict[str, Any]] = ACTION["runs"]["steps"]
    assert all("${{" not in step["run"] for step in steps)
    inputs = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
    inputs |= {"model": "model.tflite", "device": "fake", "budget": "0.000001ms"}
    install, validate = steps
    assert "constraints.txt" in install["run"]
    output = folder / "output"
    values = {name: expanded(text, inputs) for name, text in validate["env"].items()}
    values |= {"RUNNER_TEMP": str(folder / "temp"), "GITHUB_OUTPUT": str(output)}
    assert start(folder, ["bash", "-eo", "pipefail", "-c", validate["run"]], values).returncode == 1
    [line] = output.read_text().splitlines()
    assert json.loads((folder / line.removeprefix("validation=")).read_text())["within_budget"] is False
