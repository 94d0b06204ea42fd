"""The records of options: click fills every field with a value of the type that mypy sees."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import click
import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from edgewidth.cli import devices, export, finetune, init, network, profile, report, run, search, table, train, validate
from edgewidth.cli.record import _fill
from edgewidth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS: list[tuple[click.Command, type]] = [
    (run.command, run.Options),
    (devices.list_command, devices.ListOptions),
    (devices.check_command, devices.CheckOptions),
    (init.command, init.Options),
    (network.command, network.Options),
    (profile.command, profile.Options),
    (table.show_command, table.ShowOptions),
    (table.fit_command, table.FitOptions),
    (train.command, train.Options),
    (search.command, search.Options),
    (finetune.command, finetune.Options),
    (export.command, export.Options),
    (validate.command, validate.Options),
    (report.command, report.Options),
]
TEXTS = {
    "--set": "threads=2",
    "--runtime": "onnxruntime",
    "--accelerator": "gpu",
    "--threads": "2",
    "--budget": "8ms",
    "--max-size": "2MB",
    "--max-macs": "50M",
    "--max-memory": "300kB",
    "--statistic": "p95",
    "--precision": "float32",
    "--resolution": "64",
    "--min-width": "1",
    "--max-width": "2",
    "--levels": "3",
    "--divisor": "4",
    "--range": "w0=0.5:1",
    "--input-shape": "x=1x224",
    "--input-values": "values.npz",
    "--recipe": "quick",
    "--learning-rate": "1",
    "--narrow-after": "30%",
    "--final-temperature": "1",
    "--max-int8-drop": "2%",
    "--rivals": "20%",
    "--format": "csv",
    "--target-error": "2%",
    "--time-budget": "2m",
    "--sustained": "1h",
    "--max-regression": "15%",
    "--mean": "0.5,0.4,0.3",
    "--std": "0.2,0.2,0.1",
    "--seed": "3",
}
"""What is given where not just any text will do."""
EXCLUSIVE = {"prior", "supernet", "from_scratch"}
"""What another option excludes."""


def filled(command: click.Command, record: type, arguments: list[str]) -> Any:
    """The record as click fills it."""
    return _fill(record, dict(command.make_context(command.name, arguments).params))


def typed(record: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every option by name, with its annotated type and its value."""
    hints = get_type_hints(type(record))
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            yield from typed(value)
        else:
            yield field.name, hints[field.name], value


@pytest.mark.parametrize("given", ["everything", "no more than needed"])
@pytest.mark.parametrize(("command", "record"), RECORDS, ids=[f"{record.__module__[14:]}" for _, record in RECORDS])
def test_every_option_has_its_type(
    command: click.Command, record: type, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    arguments: list[str] = []
    for parameter in command.params:
        if not parameter.required and (given != "everything" or parameter.name in EXCLUSIVE):
            continue
        text = "folder" if isinstance(parameter.type, click.Path) and parameter.type.dir_okay else "file"
        if isinstance(parameter, click.Argument):
            arguments += [text]
        elif isinstance(parameter, click.Option):
            flag = parameter.opts[0]
            arguments += [flag] if parameter.is_flag else [flag, TEXTS.get(flag, text)]
    options = {name: (kind, value) for name, kind, value in typed(filled(command, record, arguments))}
    assert set(options) == {parameter.name for parameter in command.params}
    for name, (kind, value) in options.items():
        assert TypeAdapter(kind).validate_python(value, strict=True) == value, name


def test_texts_mean_what_they_say() -> None:
    """Percentages, durations, amounts and pairs, each as an independent number."""
    arguments = [
        "--narrow-after",
        "25%",
        "--time-budget",
        "1.5h",
        "--max-memory",
        "300kB",
        "--set",
        "cool_down_c = 5=5",
    ]
    options: run.Options = filled(run.command, run.Options, arguments)
    assert options.narrowing.narrowing().begin == 0.25
    assert options.plan.plan().time_budget_s == options.plan.refine_plan().time_budget_s == 5400
    assert options.limits.beside(options.budgets[0]).limits.activation_bytes == 300_000
    assert options.measuring.overrides == {"cool_down_c": " 5=5"}


def test_a_text_that_makes_no_sense_is_told_with_its_option() -> None:
    with pytest.raises(InputError, match=r"^--max-macs: 'many' is not an amount\.$"):
        filled(run.command, run.Options, ["--max-macs", "many"])


@pytest.mark.parametrize(("command", "record"), RECORDS, ids=[f"{record.__module__[14:]}" for _, record in RECORDS])
def test_an_option_of_one_value_is_given_one(command: click.Command, record: type) -> None:
    """Twice the same is one; of several different ones none is taken without a word."""
    single = [one for one in command.params if isinstance(one, click.Option) and not (one.is_flag or one.multiple)]
    for flag in (one.opts[0] for one in single):
        for words in ([flag, "1", flag, "2"], [f"{flag}=1", flag, "2"], [flag, "1", flag, "1", flag, "2"]):
            with pytest.raises(InputError, match=rf"^{flag} takes one value, and was given 1 and 2\.$"):
                filled(command, record, words)


def test_the_same_value_twice_is_one() -> None:
    """And flags, and options that may be repeated, are what they were."""
    words = ["--seed", "3", "--seed=3", "--force", "--force", "--budget", "8ms", "--budget", "9ms"]
    options: run.Options = filled(run.command, run.Options, words)
    assert (options.seed, options.force, len(options.budgets)) == (3, True, 2)


@pytest.mark.parametrize(
    ("command", "record", "words", "of_name"),
    [
        (run.command, run.Options, ["--set", "threads=2", "--set", "threads=4"], " of threads"),
        (validate.command, validate.Options, ["m.tflite", "--input-shape", "a=1x2", "--input-shape", "a=1x3"], " of a"),
        (validate.command, validate.Options, ["m.tflite", "--input-shape", "1x2", "--input-shape", "1x3"], ""),
    ],
)
def test_a_name_has_one_value(command: click.Command, record: type, words: list[str], of_name: str) -> None:
    with pytest.raises(InputError, match=rf"^{words[-2]} gives different values{of_name}\.$"):
        filled(command, record, [*words])
    filled(command, record, [*words[:-1], words[-3]])


def test_help_begins_with_what_matters_most_and_shows_every_option_once() -> None:
    """The order that was asked for, and nothing lost in the groups."""
    text = run.command.get_help(run.command.make_context("run", []))
    headings = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert headings[0] == "What matters most"
    assert headings[-1] == "Other options"
    assert len(set(headings)) == len(headings)
    flags = re.findall(r"^  (?:-\w, )?(--[a-z0-9-]+)", text, re.MULTILINE)
    assert flags[:5] == ["--network", "--device", "--data", "--budget", "--out"]
    assert sorted(flags) == sorted(["--help", *(parameter.opts[0] for parameter in run.command.params)])


def test_devices_fit_a_terminal_of_80_columns_with_whole_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a terminal shows them, which folds descriptions only."""
    from rich.console import Console

    from edgewidth.devices.profiles import list_profiles

    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(devices.command, ["list"]).output).splitlines()
    assert max(map(len, lines)) <= 80
    assert {profile.name for profile in list_profiles()} <= {line.split()[0] for line in lines}


def test_tables_alone_are_read_back_and_have_what_json_has() -> None:
    """Nothing but the table is printed: a row for every profile, and for every layer of a network."""
    for verb, words, rows, name in (
        (devices.list_command, [], None, "name"),
        (network.command, ["mobilenet_v1"], "layers", "layer"),
    ):
        found = json.loads(CliRunner().invoke(verb, [*words, "--json"]).stdout)
        told = [one[name] for one in (found[rows] if rows else found)]
        printed = CliRunner().invoke(verb, [*words, "--format", "csv"]).stdout
        assert [row[0] for row in csv.reader(io.StringIO(printed))][1:] == told
        lines = CliRunner().invoke(verb, [*words, "--format", "markdown"]).stdout.splitlines()
        assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == told
        assert set(lines[1]) == set("| -")
