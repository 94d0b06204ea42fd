"""What the README and the pages show works: the program runs, and commands have the options they are given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import cast

import click
import numpy as np
import pytest
import torch
from small_table import small_table

from edgewidth.cli.main import edgewidth
from edgewidth.cli.verbs import VERBS
from edgewidth.errors import InputError
from edgewidth.graph.families.registry import search_space
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.search.exact import solve
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.search import Question

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = README + "".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "results.md"
)
"""What users are told to type; how results were made is told in scripts' own options."""
LIBRARY = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"\bedgewidth\s+(" + "|".join(VERBS) + r")\b((?:[^`\n]|\\\n|\n(?=--))*)")
"""A verb and the words after it, in a block or in a sentence; a backslash, or an option, goes on in the next line."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"^(?:\S*/|torchrun .*-m )?edgewidth (?!.*  )(.*)$", re.MULTILINE)
"""A command to be typed as it stands, and not one of the README's overview, which has columns and stand-ins."""
TYPED = LINE.findall(re.sub(r"\\\n\s*| +#.*", "", "".join(text for kind, text in BLOCK.findall(PAGES) if not kind)))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def options_of(*verb: str) -> set[str]:
    """All options of a verb and its own verbs."""
    context = click.Context(edgewidth)
    command: click.Command | None = edgewidth
    for name in verb:
        assert isinstance(command, click.Group)
        command = command.get_command(context, name)
    assert command is not None
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    below = command.list_commands(context) if isinstance(command, click.Group) else []
    return own.union(*(options_of(*verb, name) for name in below), {"--help"})


def test_every_command_has_the_options_it_is_shown_with() -> None:
    found = COMMAND.findall(PAGES)
    assert {verb for verb, _ in found} == set(VERBS)
    wrong = {verb: set(OPTION.findall(words)) - options_of(verb) for verb, words in found}
    assert {verb: options for verb, options in wrong.items() if options} == {}


def parsed(line: str) -> click.Context:
    """What click makes of a command, which is not carried out.

    Raises:
        click.UsageError, InputError: A verb, an argument, an option or its value is none that there is.
    """
    words = shlex.split(line.partition(" > ")[0])
    context, command = click.Context(edgewidth), cast("click.Command", edgewidth)
    while isinstance(command, click.Group):
        _, below, words = command.resolve_command(context, words)
        assert below is not None
        context, command = click.Context(below, parent=context), below
    return command.make_context(command.name, words, parent=context.parent)


@pytest.mark.parametrize("line", sorted(set(TYPED)))
def test_every_command_can_be_typed_as_it_stands(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values included; the documents that it reads are there."""
    for name in re.findall(r"\S+\.json", line):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert parsed(line).params


def test_a_command_that_cannot_be_typed_is_noticed() -> None:
    assert len(TYPED) >= 20
    for wrong in ("run --budget fast", "run --recipe hasty", "run demo", "validate --device local", "device list"):
        with pytest.raises((click.UsageError, InputError)):
            parsed(wrong)


def test_every_option_that_is_named_exists() -> None:
    sentences = re.sub(r"```.*?```", "", PAGES, flags=re.DOTALL)  # other programs' commands stand in blocks alone
    named = {option for quoted in re.findall(r"`[^`]+`", sentences) for option in OPTION.findall(quoted)}
    assert "--statistic" in named
    assert named - options_of() == set()


@pytest.fixture
def profiled(tmp_path: Path) -> RunFolder:
    """A table of small networks."""
    space = search_space(
        "mobilenet_v1", resolution=32, in_channels=1, num_classes=10, min_width=0.1, max_width=0.3, levels=4
    )
    folder = RunFolder(tmp_path / "phone")
    folder.path.mkdir()
    small_table(space).write(folder.table)
    return folder


def test_the_program_runs(
    profiled: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To unary losses that rank what was held out, and to the best configuration within the budget."""
    [program] = re.findall(r"```python\n(.*?)```", LIBRARY, re.DOTALL)
    assert len(program.splitlines()) < 45
    monkeypatch.chdir(profiled.path.parent)
    torch.manual_seed(0)
    exec(compile(program, "library.md", "exec"), {})  # noqa: S102 - our own words
    table, losses = LatencyTable.read(profiled.table), UnaryLosses.read(profiled.losses)
    result, problem = SearchResult.read(profiled.search), Question(table, losses).problem
    ends = [table.space.indices(config) for config in (table.space.smallest, table.space.largest)]
    narrow, wide = problem.loss(np.array(ends))
    assert narrow > wide + 0.05
    assert losses.class_names == tuple("0123456789")
    assert str(result.chosen.config) in capsys.readouterr().out
    best = solve(problem, result.budget.latency_ms).best
    assert result.chosen.config == table.space.config(best.assignment)
