"""``edgewidth devices``: what is there, and is it fit to measure on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click
from rich.table import Table

from edgewidth.cli.options import FormatOption, JsonOption, ProfilesOption, TargetOptions
from edgewidth.cli.output import print_json, print_table, say_warnings
from edgewidth.cli.record import argument, verb
from edgewidth.cli.wording import with_flags
from edgewidth.records.measurement import Accelerator

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile

NOT_FIT = 3


@dataclass(frozen=True)
class ListOptions:
    """What ``edgewidth devices list`` takes."""

    profiles: ProfilesOption
    table_format: FormatOption
    as_json: JsonOption


@dataclass(frozen=True)
class CheckOptions:
    """What ``edgewidth devices check`` takes."""

    name: Annotated[str, argument()]
    measuring: TargetOptions
    as_json: JsonOption


@verb("list", ListOptions)
def list_command(options: ListOptions) -> None:
    """The device profiles that are known, shipped and your own."""
    from edgewidth.devices.profiles import list_profiles  # noqa: PLC0415  help stays instant

    found = list_profiles(options.profiles)
    if options.as_json:
        print_json([profile.model_dump(mode="json", exclude_none=True) for profile in found])
        return
    table = Table("device", "reached by", "what it is; what computes there", box=None)
    for profile in found:
        table.add_row(profile.name, profile.transport, _told(profile))
    print_table(table, how=options.table_format)


def _told(profile: DeviceProfile) -> str:
    """What a device is, its runtime, and accelerators and threads where they are not the processor and one."""
    # What it computes on unless told otherwise stands first.
    others = [one for one in profile.accelerators if one is not profile.accelerator]
    on = ", ".join([profile.accelerator, *others])
    runtime = str(profile.runtime) if on == Accelerator.CPU else f"{profile.runtime} on {on}"
    runtime += f", {profile.threads} threads" if profile.threads != 1 else ""
    return f"{profile.description}; {runtime}" if profile.description else runtime


@verb("check", CheckOptions)
def check_command(options: CheckOptions) -> int:
    """Reach a device and tell whether it is fit to measure on; exit 0 or 3."""
    from edgewidth.cli.progress import TerminalProgress  # noqa: PLC0415  help stays instant
    from edgewidth.devices.check import check_device  # noqa: PLC0415
    from edgewidth.devices.measure.campaign import Model  # noqa: PLC0415
    from edgewidth.formats.feeds import choose_feed  # noqa: PLC0415
    from edgewidth.formats.inspect import model_facts  # noqa: PLC0415
    from edgewidth.formats.registry import FORMATS  # noqa: PLC0415

    target = options.measuring.target(options.name)
    content = FORMATS[target.engine.file_format].trial()
    trial = Model("trial", lambda: content, choose_feed(model_facts(content).inputs, {}, None))
    found = check_device(target.profile, target.engine, target.threads, trial, progress=TerminalProgress())
    if options.as_json:
        print_json(found.model_dump(mode="json"))
    else:
        table = Table("", "", "", box=None, show_header=False)
        for item in found.items:
            table.add_row("ok" if item.ok else "no", item.name, with_flags(item.finding))
            if item.remedy:
                table.add_row("", "", f"→ {with_flags(item.remedy)}")
        print_table(table)
        say_warnings(found.warnings)
    return 0 if found.ok else NOT_FIT


command = click.Group(
    "devices", commands=[list_command, check_command], help="What is there, and is it fit to measure on."
)
