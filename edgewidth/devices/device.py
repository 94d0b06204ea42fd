"""A connected device: reached, asked what it is, and held against what is to be measured there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.engines.table import offered_supports, support_of
from edgewidth.devices.reach.facts import device_python
from edgewidth.devices.reach.shell_facts import shell_facts
from edgewidth.errors import DeviceError
from edgewidth.progress import SILENT
from edgewidth.records.measurement import DeviceFacts, Engine, FilePrecision, Setting

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport, TransportClass
    from edgewidth.progress import Progress

_TRANSPORTS = {
    "local": ("edgewidth.devices.reach.local", "LocalTransport"),
    "ssh": ("edgewidth.devices.reach.ssh", "SshTransport"),
    "adb": ("edgewidth.devices.reach.adb", "AdbTransport"),
    "emulator": ("edgewidth.devices.emulator.transport", "EmulatorTransport"),
    "vela": ("edgewidth.devices.ethos_u.transport", "EthosUTransport"),
    "fake": ("edgewidth.devices.fake.transport", "FakeTransport"),
}
"""The module and the class of every transport, by its name in a profile; a module is imported only when used."""


def open_transport(profile: DeviceProfile, progress: Progress = SILENT) -> Transport:
    """Connect to the device that a profile describes; raises as ``TransportClass.open`` does."""
    module, name = _TRANSPORTS[profile.transport]
    kind: TransportClass = getattr(import_module(module), name)
    return kind.open(profile, progress)


@contextmanager
def open_device(profile: DeviceProfile, *, progress: Progress = SILENT) -> Iterator[Device]:
    """The connected device, for the length of a ``with`` block; raises as ``open_transport`` does."""
    transport = open_transport(profile, progress)
    try:
        engines = offered_supports(profile)
        # Where all engines are programs, only a shell is sure to be there.
        facts = shell_facts(transport) if all(one.profile_key for one in engines) else transport.facts()
        found = {one.key: one.version(transport, profile, facts) for one in engines}
        versions = facts.runtimes | {key: version for key, version in found.items() if version is not None}
        yield Device(profile, transport, facts.model_copy(update={"runtimes": versions}))
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

    def setting(self, engine: Engine, precision: FilePrecision, threads: int) -> Setting:
        """What measurements made now would have in common.

        Raises:
            InputError: More threads than the clock can show.
            DeviceError: The engine is not on the device; the remedy is the line that installs it there.
        """
        self.profile.check_threads(threads)
        support = support_of(engine)
        version = self.facts.runtimes.get(support.key)
        if version is None:
            remedy = support.install_line(self.profile, self.facts)
            if support.needs_python and self.facts.python is None:
                raise DeviceError(
                    f"{self.profile.name} has no program {self.python}, and {support.key} needs Python there.",
                    remedy="Install Python 3.10 or newer there (sudo apt-get install python3-venv), or name the one "
                    "that it has: `python=/path/to/python3`",
                )
            raise DeviceError(f"{support.key} is not installed on {self.profile.name}.", remedy=remedy)
        return Setting(
            device=self.profile.name,
            hardware=self.facts.hardware,
            engine=engine,
            runtime_version=support.used(version, self.profile, engine),
            threads=threads,
            precision=precision,
            clock=self.transport.clock,
        )

    def install_line(self, engine: Engine) -> str:
        """What to do so that this device has the engine, or why it cannot have it."""
        return support_of(engine).install_line(self.profile, self.facts)
