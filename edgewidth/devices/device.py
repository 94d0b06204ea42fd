"""A connected device: reached, asked what it is, and held against what is to be measured there."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.engines import programs as native
from edgewidth.devices.reach.facts import device_python
from edgewidth.devices.reach.shell_facts import shell_facts
from edgewidth.errors import DeviceError, InputError
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Clock, DeviceFacts, Precision, Runtime, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport
    from edgewidth.progress import Progress

_TRANSPORTS = {
    "local": ("edgewidth.devices.reach.local", "LocalTransport"),
    "ssh": ("edgewidth.devices.reach.ssh", "SshTransport"),
    "adb": ("edgewidth.devices.reach.adb", "AdbTransport"),
    "emulator": ("edgewidth.devices.emulator.transport", "EmulatorTransport"),
    "fake": ("edgewidth.devices.fake.transport", "FakeTransport"),
}
"""By the profile's word: the module, imported only when used, and its class."""


def open_transport(profile: DeviceProfile, progress: Progress = SILENT) -> Transport:
    """Connect to the device that a profile describes.

    Raises:
        DeviceError: It cannot be reached in this way.
        TransientDeviceError: It did not answer.
    """
    module, name = _TRANSPORTS[profile.transport]
    transport: Transport = getattr(import_module(module), name).open(profile, progress)
    return transport


@contextmanager
def open_device(profile: DeviceProfile, *, progress: Progress = SILENT) -> Iterator[Device]:
    """The connected device, for the length of a ``with`` block; raises as ``open_transport`` does."""
    transport = open_transport(profile, progress)
    try:
        without_python = all(native.is_native(profile, runtime) for runtime in profile.runtimes)
        facts = shell_facts(transport) if without_python else transport.facts()
        programs = native.find_programs(transport, profile)
        yield Device(profile, transport, facts.model_copy(update={"runtimes": facts.runtimes | programs}))
    finally:
        transport.close()


class Device(NamedTuple):
    """A connected device and what it said of itself."""

    profile: DeviceProfile
    transport: Transport
    facts: DeviceFacts

    @property
    def python(self) -> str:
        """The command that starts the device's Python."""
        return device_python(self.profile)

    def setting(self, runtime: Runtime, precision: Precision, threads: int) -> Setting:
        """What measurements made now would have in common.

        Raises:
            InputError: The profile does not offer this runtime, or more threads than the clock can show.
            DeviceError: The runtime is not on the device; the remedy is the line that installs it there.
        """
        if runtime not in self.profile.runtimes:
            offered = ", ".join(self.profile.runtimes)
            raise InputError(f"{self.profile.name} does not offer {runtime}.", remedy=f"Use --runtime with: {offered}.")
        if threads != 1 and self.transport.clock is Clock.ICOUNT:
            raise InputError(
                f"{self.profile.name} counts instructions on one processor; {threads} threads show nothing there.",
                remedy="Use --threads 1.",
            )
        version = self.facts.runtimes.get(runtime)
        if version is None:
            raise DeviceError(f"{runtime} is not installed on {self.profile.name}.", remedy=install_line(self, runtime))
        return Setting(
            device=self.profile.name,
            hardware=self.facts.hardware,
            runtime=runtime,
            runtime_version=version,
            threads=threads,
            precision=precision,
            clock=self.transport.clock,
        )


def install_line(device: Device, runtime: Runtime) -> str:
    """What to type so that this device has the runtime, or why it cannot have it."""
    if native.is_native(device.profile, runtime):
        return native.where_from(runtime)
    packages, reason = _packages(runtime, device.facts)
    if packages is None:
        return reason
    python, where = device.python, _where(device.profile)
    if python not in {"python3", "/usr/bin/python3"} or device.profile.transport == "local":
        return f"{where}{python} -m pip install {packages}"
    # Since Debian 12 and its Raspberry Pi OS the system's own Python takes no packages from pip.
    made = "python3 -m venv ~/edgewidth-venv && ~/edgewidth-venv/bin/pip install " + packages
    return f'{where}"{made}", then --set python=/home/…/edgewidth-venv/bin/python' if where else made


def _where(profile: DeviceProfile) -> str:
    return f"ssh {profile.address} " if profile.transport == "ssh" and profile.address else ""


def _packages(runtime: Runtime, facts: DeviceFacts) -> tuple[str | None, str]:
    """The packages that bring a runtime to a machine of this kind; None with a reason where there are none."""
    minor = _python_minor(facts.python)
    arm32 = (facts.architecture or "").startswith(("armv6", "armv7"))
    if runtime is Runtime.TFLITE_RUNTIME:
        if minor in (range(9, 12) if arm32 or facts.architecture == "x86_64" else (9, 11)):
            return "tflite-runtime 'numpy<2'", ""
        return None, f"tflite-runtime has no build for Python 3.{minor} on {facts.architecture}; use Python 3.11."
    if arm32:
        return None, f"{runtime} has no build for 32-bit ARM: use --runtime tflite-runtime, or a 64-bit system."
    if runtime is Runtime.LITERT and minor < 10:
        return None, f"ai-edge-litert needs Python 3.10 or newer, and the device has 3.{minor}; use tflite-runtime."
    return {Runtime.LITERT: "ai-edge-litert numpy", Runtime.ONNXRUNTIME: "onnxruntime"}[runtime], ""


def _python_minor(version: str | None) -> int:
    parts = (version or "3.11").split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 11
