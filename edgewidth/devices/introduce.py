"""A device asked what it is, written down as a device profile with comments for the person who keeps it.

What a device says of itself is data: it stands in comments and quoted texts, without anything that could end them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from edgewidth.devices.device import open_device
from edgewidth.devices.engines.table import offered_supports
from edgewidth.devices.profiles import load_profile
from edgewidth.devices.reach.shell_facts import shell_state
from edgewidth.devices.words import Name
from edgewidth.documents import first_problem
from edgewidth.errors import InputError, ProfileError
from edgewidth.files import temporary_folder, write_atomic
from edgewidth.progress import SILENT
from edgewidth.records.measurement import DeviceState

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress

_LONGEST = 300
"""Characters of what a device says of itself; a description has room for them."""
_WITH_SHELL = frozenset({"local", "ssh", "adb", "emulator"})
"""The transports behind which a shell tells how the device is doing."""
_COMMENTS = {
    "description": "What the device says that it is; write here what you call it.",
    "transport": "How it is reached.",
    "python": "The Python there that has the runtime.",
    "workdir": "The folder there in which edgewidth works.",
    "runtime": "What runs a model unless a command says otherwise.",
    "runtimes": "What a command may ask for in its place.",
    "threads": "With how many threads unless a command says otherwise.",
    "affinity": "The processors to stay on.",
    "cool_down_c": "Before a visit the device cools down to this many °C.",
    "max_temperature_c": "A visit that ends hotter than this is measured again.",
}
"""What is said above a key."""
_OFFERS = (
    ("affinity", "affinity = [0]", "Stay on these processors; of unequal cores the fast ones are often the last."),
    ("cool_down_c", "cool_down_c = 60", "Wait before a visit until the device has cooled down to this many °C."),
    ("max_temperature_c", "max_temperature_c = 80", "Measure again what ended hotter than this."),
)
"""What a profile may say beside what it does."""


def introduce(profile: DeviceProfile, out: Path, *, force: bool = False, progress: Progress = SILENT) -> DeviceProfile:
    """Ask the device that a profile leads to what it is, and write a profile of its own to ``out``.

    The new one says all that the given one says, offers only the runtimes that are there, and tells in comments what
    the device said of itself.

    Raises:
        InputError: ``out`` is no name of a profile, or is there already and ``force`` is not set.
        ProfileError: ``out`` is no name of a device.
        DeviceError: The device cannot be reached, or none of the runtimes is installed there.
        TransientDeviceError: It did not answer.
    """
    if out.suffix != ".toml":
        raise InputError(f"{out} is no device profile: its name does not end in .toml.", remedy=f"Write {out}.toml.")
    _check_name(out)
    if out.exists() and not force:
        raise InputError(f"{out} is there already.", remedy="Choose another `out`, or `force` to write over it.")
    with open_device(profile, progress=progress) as device:
        state = shell_state(device.transport) if profile.transport in _WITH_SHELL else DeviceState()
        text = profile_text(device, state)
    with temporary_folder() as folder:
        # Read as it will be, before anything is written.
        made = folder / out.name
        made.write_text(text, encoding="utf-8")
        found = load_profile(str(made))
    write_atomic(out, text.encode())
    return found


def _check_name(out: Path) -> None:
    """Whether the file's name is one of a device, before that is asked anything."""
    try:
        TypeAdapter(Name).validate_python(out.stem)
    except ValidationError as error:
        raise ProfileError(
            f"{out} is no name of a device: {first_problem(error)}.",
            remedy="Choose another `out`: the device is called as the file is, without .toml.",
        ) from error


def profile_text(device: Device, state: DeviceState) -> str:
    """The profile of a connected device as TOML."""
    given = device.profile
    found = [support.name for support in offered_supports(given) if support.key in device.facts.runtimes]
    values = given.model_dump(mode="json", exclude_defaults=True) | {"description": _line(device.facts.hardware)}
    del values["name"]  # the file's name is the device's
    # A device on which nothing is installed yet keeps what it was meant to offer; checking it says how to install that.
    runtimes = found or list(given.runtimes)
    values["runtime"] = given.runtime if given.runtime in runtimes else runtimes[0]
    values |= {"runtimes": runtimes, "threads": given.threads}
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    first = ("description", "transport", "address", "port", "identity", "serial", "python", "workdir", "runtime")
    plain = sorted(values.keys() - sections.keys(), key=lambda key: first.index(key) if key in first else len(first))
    lines = [f"# {line}" for line in _said(device, state)]
    for key in plain:
        lines += ["", *([f"# {_COMMENTS[key]}"] if key in _COMMENTS else []), f"{key} = {_toml(values[key])}"]
    for key, example, what in _OFFERS:
        if key not in values:
            lines += ["", f"# {what}", f"# {example}"]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items() if value is not None)]
    return "\n".join(lines) + "\n"


def _said(device: Device, state: DeviceState) -> list[str]:
    """What the device said of itself, a line for each."""
    facts = device.facts
    memory = f"{facts.memory_bytes / 1e9:.1f} GB" if facts.memory_bytes else None
    speed = f"{state.frequency_mhz:.0f} MHz when it was asked" if state.frequency_mhz else None
    known = {
        "Model": facts.model,
        "Processor": facts.processor,
        "Cores": str(facts.cores) if facts.cores else None,
        "Memory": memory,
        "System": facts.system,
        "Clock": speed,
        "Governor": state.governor,
        "Temperature": f"{state.temperature_c:.0f} °C" if state.temperature_c is not None else None,
        "Python": facts.python,
        "Runtimes": ", ".join(f"{name} {version}" for name, version in sorted(facts.runtimes.items())) or "none found",
    }
    lines = ["A device profile of edgewidth. When it was written the device said of itself:"]
    return lines + [f"  {name}: {_line(value)}" for name, value in known.items() if value]


def _line(text: str) -> str:
    """A text of a device as one line of printable characters."""
    return "".join(one if one.isprintable() else " " for one in text)[:_LONGEST].strip()


def _toml(value: Any) -> str:
    """A value as TOML writes it, whose texts are quoted like JSON's where nothing in them is unprintable."""
    return json.dumps(value, ensure_ascii=False)
