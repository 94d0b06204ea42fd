"""Messages below the command line name parameters; the command line turns them into its options."""

from __future__ import annotations

import ast
import re
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgewidth
from edgewidth.cli import wording
from edgewidth.cli.verbs import VERBS, load
from edgewidth.cli.wording import QUOTED, flags, with_flags
from edgewidth.devices.profiles import AcceleratorSection, DeviceProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOM = Path(edgewidth.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Raise `max_width` or lower `resolution`.", "Raise --max-width or lower --resolution."),
        ("Use `threads=1`.", "Use --threads 1."),
        ("Use `max_int8_drop_points=0.5%`.", "Use --max-int8-drop 0.5%."),
        ("Or `workdir=/path`, if you can.", "Or --set workdir=/path, if you can."),
        ("`overrides` colour: unknown key.", "--set colour: unknown key."),
        ("Give `nothing_of_ours`.", "Give `nothing_of_ours`."),
        ("``literal`` and ` and `Upper` stay.", "``literal`` and ` and `Upper` stay."),
    ],
)
def test_parameters_become_options(message: str, told: str) -> None:
    assert Context().run(with_flags, message) == told


def test_options_that_the_command_has_not_are_named_with_their_verb() -> None:
    """Each of them can be typed where it is said."""

    def told() -> None:
        wording.speak_for(load("validate"))
        assert with_flags("Try `threads=1`, a longer `time_budget_s`.") == (
            "Try --threads 1, a longer --time-budget of edgewidth run."
        )
        assert (wording.takes("--statistic"), wording.takes("--data")) == (True, False)

    Context().run(told)
    assert Context().run(with_flags, "A longer `time_budget_s`.") == "A longer --time-budget."


def test_what_goes_on_where_it_stopped() -> None:
    """Is told of verbs alone that do: what others wrote, they wrote at the end."""

    def goes_on(verb: str) -> bool:
        wording.speak_for(load(verb))
        return wording.goes_on()

    told = {verb for verb in VERBS if Context().run(goes_on, verb)}
    assert told == {"run", "profile", "train", "search", "finetune", "export"}


@pytest.mark.parametrize("verb", ["run", "profile", "train", "search", "validate", "finetune", "init"])
def test_an_option_of_the_command_is_named_without_a_verb(verb: str) -> None:
    """Also where it may be repeated there, and its parameter is called otherwise than other verbs'."""
    taken = {flag for one in load(verb).params for flag in one.opts}

    def told() -> None:
        wording.speak_for(load(verb))
        for name, flag in flags().items():
            expected = flag if flag in taken else rf"{flag} of edgewidth [a-z ]+"
            assert re.fullmatch(expected, with_flags(f"`{name}`")), name

    Context().run(told)


def spoken(path: Path) -> Iterator[str]:
    """Every text of a file that is no docstring; values put into it are dots."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(node.value)
        if isinstance(node, ast.JoinedStr):
            silent.update(node.values)
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
            yield node.value


BELOW = {
    path.relative_to(ROOM).as_posix(): list(spoken(path))
    for path in sorted(ROOM.rglob("*.py"))
    if path.relative_to(ROOM).parts[0] != "cli"
}


OTHERS = {
    ("devices/emulator/image.py", "--format"),  # of cpio
    ("devices/on_device/sensors.py", "--format"),  # of nvidia-smi
    ("devices/reach/shell_facts.py", "--format"),  # the same
}
"""Options of other programs that are called as ours are."""


def test_no_message_below_names_an_option() -> None:
    """An option alone is a word of a command that is recorded."""
    ours = set(flags().values())
    assert {"--max-width", "--set", "--weights"} <= ours
    sentences = [(where, text) for where, texts in BELOW.items() for text in texts if text not in ours]
    named = {(where, flag) for where, text in sentences for flag in FLAG.findall(text)}
    assert {(where, flag) for where, flag in named if flag in ours} == OTHERS


def test_every_parameter_that_a_message_names_is_an_option() -> None:
    """Or a key of the device profile, with its value."""
    named = {(where, *quoted) for where, texts in BELOW.items() for text in texts for quoted in QUOTED.findall(text)}
    assert len(named) > 20
    keys = set(DeviceProfile.model_fields)
    keys |= {f"{section}.{key}" for section in ("gpu", "npu") for key in AcceleratorSection.model_fields}
    assert {(where, name) for where, name, value in named if name not in flags() and not (value and name in keys)} == (
        set()
    )
