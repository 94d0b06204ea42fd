"""Runtimes that are Python packages: the runner on the device imports them (see ``on_device.runtimes``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewidth.devices.engines.engine import LedEngine, lead_to_provider, options_of
from edgewidth.devices.on_device.vitals import COMPILED_MODEL
from edgewidth.devices.reach.destination import Destination
from edgewidth.devices.reach.facts import device_python
from edgewidth.records.measurement import Accelerator, Engine, EngineName, Runtime

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport
    from edgewidth.records.measurement import DeviceFacts

    Json = dict[str, Any]

_SYSTEM_PYTHONS = ("python3", "/usr/bin/python3")


@dataclass(frozen=True)
class PythonEngine(LedEngine):
    """One of them; see ``EngineSupport``."""

    packages: str
    """What pip installs, as words of a shell."""
    obstacle: Callable[[DeviceFacts], str | None]
    """Why a machine of this kind cannot have the packages; None: it can."""
    needs_python: bool = True
    profile_key: None = None

    @property
    def key(self) -> str:
        """The runtime: the package is what is found on the device."""
        return self.engine.runtime

    def version(self, transport: Transport, profile: DeviceProfile, facts: DeviceFacts) -> str | None:
        """As the device's Python told it."""
        del transport, profile
        return facts.runtimes.get(self.key)

    def used(self, version: str, profile: DeviceProfile, engine: Engine) -> str:
        """LiteRT takes an external delegate by its interpreter, even where it has something newer."""
        return version.removesuffix(COMPILED_MODEL) if self.way(profile, engine).get("delegate") else version

    def install_line(self, profile: DeviceProfile, facts: DeviceFacts) -> str:
        """What to type to install its packages."""
        if (obstacle := self.obstacle(facts)) is not None:
            return obstacle
        python = device_python(profile)
        where = f"ssh {Destination.of(profile).typed} " if profile.transport == "ssh" and profile.address else ""
        if python not in _SYSTEM_PYTHONS or profile.transport == "local":
            return f"{where}{python} -m pip install {self.packages}"
        # Since Debian 12 and its Raspberry Pi OS the system's own Python takes no packages from pip.
        made = f"python3 -m venv ~/edgewidth-venv && ~/edgewidth-venv/bin/pip install {self.packages}"
        return (
            f'{where}"{made} && ls ~/edgewidth-venv/bin/python", then `python=PATH` with its last line'
            if where
            else made
        )

    def program(self, transport: Transport, profile: DeviceProfile, engine: Engine, threads: int) -> None:
        """None: the runner runs it."""


def _without_litert(facts: DeviceFacts) -> str | None:
    if _is_arm32(facts):
        return _no_arm32(Runtime.LITERT)
    minor = _python_minor(facts)
    if minor < 10:
        return f"ai-edge-litert needs Python 3.10 or newer, and the device has 3.{minor}; use tflite-runtime."
    return None


def _without_tflite_runtime(facts: DeviceFacts) -> str | None:
    minor = _python_minor(facts)
    if minor in (range(9, 12) if _is_arm32(facts) or facts.architecture == "x86_64" else (9, 11)):
        return None
    return f"tflite-runtime has no build for Python 3.{minor} on {facts.architecture}; use Python 3.11."


def _without_onnxruntime(facts: DeviceFacts) -> str | None:
    return _no_arm32(Runtime.ONNXRUNTIME) if _is_arm32(facts) else None


def _no_arm32(runtime: Runtime) -> str:
    return f"{runtime} has no build for 32-bit ARM: use `runtime=tflite-runtime`, or a 64-bit system."


def _is_arm32(facts: DeviceFacts) -> bool:
    return (facts.architecture or "").startswith(("armv6", "armv7"))


def _python_minor(facts: DeviceFacts) -> int:
    parts = (facts.python or "3.11").split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 11


def _lead_litert(profile: DeviceProfile, accelerator: Accelerator) -> Json | None:
    """By a delegate where the profile names one, else by CompiledModel, which needs none."""
    section = profile.section(accelerator)
    if section.delegate:
        return {"delegate": section.delegate, "options": options_of(section.delegate_options)}
    return {"options": options_of(section.litert_options)} if section.litert_options else {}


def _lead_tflite_runtime(profile: DeviceProfile, accelerator: Accelerator) -> Json | None:
    section = profile.section(accelerator)
    if accelerator.is_cpu:
        return {}
    if section.delegate is None:
        return None
    return {"delegate": section.delegate, "options": options_of(section.delegate_options)}


LITERT = PythonEngine(
    EngineName.LITERT, Engine(runtime=Runtime.LITERT), _lead_litert, "ai-edge-litert numpy", _without_litert
)
TFLITE_RUNTIME = PythonEngine(
    EngineName.TFLITE_RUNTIME,
    Engine(runtime=Runtime.TFLITE_RUNTIME),
    _lead_tflite_runtime,
    "tflite-runtime 'numpy<2'",
    _without_tflite_runtime,
)
ONNXRUNTIME = PythonEngine(
    EngineName.ONNXRUNTIME,
    Engine(runtime=Runtime.ONNXRUNTIME),
    lead_to_provider,
    "onnxruntime",
    _without_onnxruntime,
)
