"""``edgewidth devices``: what is there, and is it fit to measure on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from edgewidth.cli.options import json_option, profiles_option, target_from, target_options
from edgewidth.cli.output import print_json, print_table, say_warnings

if TYPE_CHECKING:
    from pathlib import Path

NOT_FIT = 3


@click.group("devices")
def command() -> None:
    """What is there, and is it fit to measure on."""


@command.command("list")
@profiles_option
@json_option
def list_command(profiles: Path | None, as_json: bool) -> None:
    """The device profiles that are known, shipped and your own."""
    from edgewidth.devices.profiles import list_profiles  # noqa: PLC0415  help stays instant

    found = list_profiles(profiles)
    if as_json:
        print_json([profile.model_dump(mode="json", exclude_none=True) for profile in found])
        return
    table = Table("device", "reached by", "runtime", "threads", "what it is", box=None)
    for profile in found:
        table.add_row(profile.name, profile.transport, profile.runtime, str(profile.threads), profile.description)
    print_table(table)


@command.command("check")
@click.argument("name")
@target_options
@json_option
def check_command(name: str, as_json: bool, **options: Any) -> int:
    """Reach a device and tell whether it is fit to measure on; exit 0 or 3."""
    from edgewidth.cli.progress import TerminalProgress  # noqa: PLC0415  help stays instant
    from edgewidth.devices.check import check_device  # noqa: PLC0415

    target = target_from(options | {"device": name})
    check = check_device(target.profile, target.runtime, target.threads, progress=TerminalProgress())
    if as_json:
        print_json(check.model_dump(mode="json"))
    else:
        table = Table("", "", "", box=None, show_header=False)
        for item in check.items:
            table.add_row("ok" if item.ok else "no", item.name, item.finding)
            if item.remedy:
                table.add_row("", "", f"→ {item.remedy}")
        print_table(table)
        say_warnings(check.warnings)
    return 0 if check.ok else NOT_FIT
