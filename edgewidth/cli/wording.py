"""Messages of the rooms below as a person at the command line reads them.

Below, a message names a parameter in backticks, as a user of the library knows it: `max_width`, or with a value
`threads=1`. Here it becomes the option: ``--max-width``, ``--threads 1``. A value of what is no option is one of the
device profile: `workdir=/path` becomes ``--set workdir=/path``. An option that the command at hand does not take is
named with the verb that does.
"""

from __future__ import annotations

import re
import shlex
from contextvars import ContextVar
from functools import cache

import click

from edgewidth.cli.verbs import VERBS, load

_COMMAND: ContextVar[click.Command | None] = ContextVar("command", default=None)
QUOTED = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`")
"""A parameter, and its value where it has one."""
AT_ONCE = {"validate", "report", "init"}
"""Verbs that write what they were asked for when it is done, and nothing before."""


def with_flags(text: str) -> str:
    """A message with the options in place of the parameters that it names."""
    return QUOTED.sub(_as_option, text)


def speak_for(command: click.Command) -> None:
    """From now on the messages are about this command."""
    _COMMAND.set(command)


def takes(flag: str) -> bool:
    """Whether the command at hand has such an option; any may be meant where none is known.

    Not the parameter counts: where an option may be repeated it is called otherwise.
    """
    command = _COMMAND.get()
    return command is None or any(flag in one.opts for one in command.params)


def goes_on() -> bool:
    """Whether the command at hand keeps what it has done, and goes on from there when it is typed again."""
    command = _COMMAND.get()
    return command is None or (takes("--out") and command.name not in AT_ONCE)


@cache
def flags() -> dict[str, str]:
    """The flag of every option of every verb, by the name of its parameter."""
    return {name: flag for name, (flag, _) in _options().items()}


@cache
def _options() -> dict[str, tuple[str, str]]:
    """Of every parameter that is an option its flag, and the first command that has that."""
    commands = {verb: load(verb) for verb in VERBS}
    groups = {verb: group for verb, group in commands.items() if isinstance(group, click.Group)}
    commands |= {f"{verb} {name}": one for verb, group in groups.items() for name, one in group.commands.items()}
    found: dict[str, tuple[str, str]] = {}
    first: dict[str, str] = {}
    for path, command in commands.items():
        for one in command.params:
            if isinstance(one, click.Option) and one.name:
                found.setdefault(one.name, (one.opts[0], first.setdefault(one.opts[0], path)))
    return found


def _as_option(quoted: re.Match[str]) -> str:
    name, value = quoted.groups()
    if name not in _options():
        return f"--set {shlex.quote(f'{name}={value}')}" if value else quoted[0]
    flag, path = _options()[name]
    written = f"{flag} {value}" if value else flag
    return written if takes(flag) else f"{written} of edgewidth {path}"
