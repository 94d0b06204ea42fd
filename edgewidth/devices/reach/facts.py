"""What a device with Python is and how it is doing, asked through any transport without leaving a file there."""

from __future__ import annotations

import io
import sys
import zipfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from edgewidth.devices.on_device import sensors, vitals
from edgewidth.documents import first_problem
from edgewidth.errors import DeviceError
from edgewidth.records.measurement import DeviceFacts, DeviceState

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport

_T = TypeVar("_T")
_FACTS = TypeAdapter(DeviceFacts)
_IDLE: TypeAdapter[tuple[DeviceState, DeviceState]] = TypeAdapter(tuple[DeviceState, DeviceState])
_MAX_REPLY_BYTES = 100_000
_ON_DEVICE = Path(vitals.__file__).parent
_MAIN = b"import sys\nfrom edgewidth.devices.on_device.runner import main\nsys.exit(main(sys.argv[1:]))\n"


@cache
def runner_archive() -> bytes:
    """The runner as it is copied to devices: one file that Python runs (see ``zipapp``), the same bytes every time."""
    sources = {
        "__main__.py": _MAIN,
        "edgewidth/__init__.py": b"",
        "edgewidth/devices/__init__.py": b"",
        **{f"edgewidth/devices/on_device/{path.name}": path.read_bytes() for path in sorted(_ON_DEVICE.glob("*.py"))},
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in sources.items():
            opened.writestr(zipfile.ZipInfo(name), content)
    return archive.getvalue()


def _source(module: ModuleType) -> bytes:
    return Path(module.__file__ or "").read_bytes()


def device_python(profile: DeviceProfile) -> str:
    """The command that starts the device's Python; on this machine, unless it says otherwise, the one we run in."""
    own = profile.transport in {"local", "fake"} and profile.python == "python3"
    return sys.executable if own else profile.python


def read_facts(transport: Transport, python: str) -> DeviceFacts:
    """What the device is, as its own Python sees it.

    Raises:
        DeviceError: There is no such Python, it is too old, or it answered nonsense.
        TransientDeviceError: The link failed.
    """
    return _ask(transport, python, vitals, ["facts", transport.workdir], _FACTS)


def read_idle(transport: Transport, python: str, seconds: float) -> tuple[DeviceState, DeviceState]:
    """What the power sensors say before and after a time in which nothing of ours works; raises as ``read_facts``."""
    return _ask(transport, python, sensors, [f"{seconds:g}"], _IDLE)


def _ask(transport: Transport, python: str, program: ModuleType, words: list[str], kind: TypeAdapter[_T]) -> _T:
    # The source goes through standard input, so nothing has to be copied or cleaned up.
    done = transport.run([python, "-", *words], stdin=_source(program), timeout_s=60)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(
            f"{python} on the device does not work: {(lines or ['it says nothing'])[-1][:300]}.",
            remedy="Name a Python from 3.9 on that device: `python=/path/to/python3`",
        )
    try:
        return kind.validate_json(done.stdout[:_MAX_REPLY_BYTES])
    except ValidationError as error:
        raise DeviceError(f"{python} on the device answered nonsense: {first_problem(error)}.") from error
