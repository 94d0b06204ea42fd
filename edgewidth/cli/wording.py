"""Messages of the rooms below as a person at the command line reads them.

Below, a message names a parameter in backticks, as a user of the library knows it: `max_width`, or with a value
`threads=1`. Here it becomes the option: ``--max-width``, ``--threads 1``. A value of what is no option is one of the
device profile: `workdir=/path` becomes ``--set workdir=/path``.
"""

from __future__ import annotations

import re
import shlex
from functools import cache

import click

from edgewidth.cli.verbs import VERBS, load

QUOTED = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`")
"""A parameter, and its value where it has one."""


def with_flags(text: str) -> str:
    """A message with the options in place of the parameters that it names."""
    return QUOTED.sub(_as_option, text)


@cache
def flags() -> dict[str, str]:
    """The flag of every option of every verb, by the name of its parameter."""
    commands = [load(verb) for verb in VERBS]
    commands += [one for group in commands if isinstance(group, click.Group) for one in group.commands.values()]
    parameters = [parameter for command in commands for parameter in command.params]
    return {one.name: one.opts[0] for one in parameters if isinstance(one, click.Option) and one.name}


def _as_option(quoted: re.Match[str]) -> str:
    name, value = quoted.groups()
    flag = flags().get(name)
    if flag is None:
        return f"--set {shlex.quote(f'{name}={value}')}" if value else quoted[0]
    return f"{flag} {value}" if value else flag
