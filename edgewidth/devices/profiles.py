"""Device profiles: TOML files that say how to reach a device and how to measure on it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgewidth.records.base import Record
from edgewidth.records.measurement import Clock, Runtime

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:%+/-]*$", max_length=255)]
"""Text that is safe as one word of a command line: no space, quote, metacharacter, newline or leading dash."""

DevicePath = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", max_length=1024)]
"""A path on the device; may hold spaces and quotes, since every transport quotes it."""


class EmulatorSection(Record):
    """The board that QEMU emulates."""

    cpu: Literal["cortex-a53", "cortex-a72", "cortex-a76"]
    memory_mb: Annotated[int, Field(ge=512, le=16384)] = 2048


class DeviceProfile(Record):
    """How to reach a device and how to measure on it; it claims no measurement."""

    name: Word
    description: str
    transport: Literal["local", "ssh", "adb", "emulator", "fake"]

    address: Word | None = None
    """ssh: ``user@host`` or a host of the user's ssh config."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    identity: DevicePath | None = None
    """ssh: a private key file, where the user's own config does not name one."""
    serial: Word | None = None
    """adb: which of several attached phones."""
    python: DevicePath = "python3"
    """The Python on the device that has the runtime."""
    workdir: DevicePath | None = None
    """A folder on the device; None: the transport's own choice."""

    runtime: Runtime = Runtime.LITERT
    runtimes: tuple[Runtime, ...] = (Runtime.LITERT, Runtime.ONNXRUNTIME)
    """What may be asked for on this device."""
    benchmark_model: DevicePath | None = None
    """The native benchmark program: its path on the device, or ``push:`` and a path on this machine."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    affinity: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()
    """Processor numbers to stay on; empty: wherever the system puts it."""
    clock: Clock = Clock.WALL

    cool_down_c: Annotated[float, Field(gt=0, le=120)] | None = None
    """Before a block the device cools to this temperature, within a time limit."""
    max_temperature_c: Annotated[float, Field(gt=0, le=150)] | None = None
    """A block that ends hotter than this is measured again."""
    min_free_mb: Annotated[int, Field(ge=0)] = 100
    emulator: EmulatorSection | None = None
