"""``edgewidth init``: a device profile of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click

from edgewidth.cli.options import DeviceOption, JsonOption, ProfilesOption, SetOption
from edgewidth.cli.output import print_json
from edgewidth.cli.progress import TerminalProgress
from edgewidth.cli.record import option, verb
from edgewidth.cli.terminal import echo


@dataclass(frozen=True)
class Options:
    """What ``edgewidth init`` takes."""

    device: DeviceOption
    out: Annotated[
        Path,
        option(
            "--out",
            type=click.Path(path_type=Path, dir_okay=False),
            required=True,
            help="The profile to write; its name, ending in .toml, is the device's.",
        ),
    ]
    profiles: ProfilesOption
    overrides: SetOption
    force: Annotated[bool, option("--force", is_flag=True, help="Write over the file that --out names.")]
    as_json: JsonOption


@verb("init", Options)
def command(options: Options) -> None:
    """Ask a device what it is, and write a device profile with comments.

    Begins with the profile that --device names and --set completes, such as --device raspberry-pi-5 --set
    address=pi@raspberrypi.local.
    """
    from edgewidth.devices.introduce import introduce  # noqa: PLC0415  help stays instant
    from edgewidth.devices.profiles import load_profile  # noqa: PLC0415

    given = load_profile(options.device, folder=options.profiles, overrides=options.overrides)
    made = introduce(given, options.out, force=options.force, progress=TerminalProgress())
    if options.as_json:
        print_json(made.model_dump(mode="json", exclude_none=True))
        return
    echo(f"{options.out}: {made.description}")
    name = options.out if options.out.parent != Path() else f"./{options.out}"
    echo(f"Next: edgewidth devices check {name}")
