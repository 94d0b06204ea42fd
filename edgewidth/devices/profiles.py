"""Device profiles: TOML files that say how to reach a device and how to measure on it.

Where they are looked for: a path that ends in ``.toml`` is that file; a name is looked up in the user's folder
(an option, or the environment variable ``EDGEWIDTH_DEVICE_PROFILES``) and then among the shipped ones. In a
folder the file's name is the device's name.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from edgewidth.devices.words import (
    Address,
    Description,
    DevicePath,
    LocalPath,
    Name,
    Option,
    Provider,
    Serial,
    VelaName,
)
from edgewidth.documents import Record, first_problem
from edgewidth.errors import InputError, ProfileError
from edgewidth.records.measurement import Accelerator, Clock, EngineName

FOLDER_VARIABLE = "EDGEWIDTH_DEVICE_PROFILES"
_MAX_PROFILE_BYTES = 100_000
_REMEDY = "Mend it there, or begin with a profile that ships: edgewidth devices list names them."


class EmulatorSection(Record):
    """The board that QEMU emulates."""

    cpu: Literal["cortex-a53", "cortex-a72", "cortex-a76"]
    memory_mb: Annotated[int, Field(ge=1536, le=16384)] = 2048
    """With less, its system does not fit: all of it is in memory, and twice while it boots."""


class EthosUSection(Record):
    """A microcontroller's Ethos-U, as Vela names it and what is around it; Vela has a file with the names it knows."""

    accelerator: Annotated[str, Field(pattern=r"^ethos-u\d{2}-\d{2,4}$")]
    """Which one, with its multiply-accumulates a cycle: ``ethos-u55-128``."""
    system_config: VelaName | None = None
    """The clock and the memories around it; None: Vela's default for this accelerator."""
    memory_mode: VelaName | None = None
    """What is kept where; None: Vela's default for this accelerator."""
    config: LocalPath | None = None
    """A file of one's own with systems and memory modes, in Vela's format."""

    @property
    def title(self) -> str:
        """What it is called in a report."""
        return f"Arm {self.accelerator.title()}"

    @property
    def text(self) -> str:
        """All of it in a few words."""
        return " ".join(one for one in (self.accelerator, self.system_config, self.memory_mode, self.config) if one)

    def vela_words(self) -> list[str]:
        """The arguments that tell Vela of it."""
        options = {"--system-config": self.system_config, "--memory-mode": self.memory_mode, "--config": self.config}
        words = [word for name, value in options.items() if value for word in (name, value)]
        return ["--accelerator-config", self.accelerator, *words]


class AcceleratorSection(Record):
    """How each runtime comes to an accelerator; what is not said is the runtime's own way."""

    delegate: DevicePath | None = None
    """TFLite's runtimes: the external delegate, a library on the device. For ``benchmark_model`` also one that it has
    built in: ``nnapi``, ``hexagon`` or ``coreml``."""
    delegate_options: tuple[Option, ...] = ()
    litert_options: tuple[Option, ...] = ()
    """LiteRT without a delegate: options of its CompiledModel, by group and name (``gpu.enforce_f32=true``)."""
    provider: Provider | None = None
    """ONNX Runtime: the execution provider, such as ``CUDA``, ``QNN`` or ``WebGpu``."""
    provider_library: DevicePath | None = None
    """The provider's plug-in, where it is not built in: a path on the device, or the Python package that has it."""
    provider_options: tuple[Option, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.delegate_options and self.delegate is None:
            raise ValueError("delegate_options: have no delegate that they are for")
        if (self.provider_library or self.provider_options) and self.provider is None:
            raise ValueError("provider: is missing; a library or options are of one")
        if self.litert_options and self.delegate:
            raise ValueError("litert_options: are for LiteRT without a delegate")
        return self


class DeviceProfile(Record):
    """How to reach a device and how to measure on it; it claims no measurement."""

    name: Name
    description: Description = ""
    transport: Literal["local", "ssh", "adb", "emulator", "vela", "fake"]

    address: Address | None = None
    """ssh: ``user@host`` or a host of the user's ssh config. adb: ``host:port`` of a phone in the network."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """ssh: where the user's own config does not say it."""
    identity: LocalPath | None = None
    """ssh: a private key file, where the user's own config does not name one."""
    serial: Serial | None = None
    """adb: which of several attached phones."""
    python: DevicePath = "python3"
    """The Python on the device that has the runtime."""
    workdir: DevicePath | None = None
    """A folder on the device; None: the transport's own choice."""

    runtime: EngineName = EngineName.LITERT
    runtimes: tuple[EngineName, ...] = (EngineName.LITERT, EngineName.ONNXRUNTIME)
    """What may be asked for on this device; ``engines.table.engine_named`` makes engines of them."""
    accelerator: Accelerator = Accelerator.CPU
    """What models run on unless it is said otherwise."""
    accelerators: tuple[Accelerator, ...] = (Accelerator.CPU,)
    """What may be asked for on this device."""
    allow_fallback: bool = False
    """Whether a measurement may stand of which nothing ran on the accelerator that was asked for."""
    gpu: AcceleratorSection | None = None
    npu: AcceleratorSection | None = None
    benchmark_model: DevicePath | None = None
    """The native TFLite benchmark program: its path on the device, or ``push:`` and a path on this machine."""
    onnxruntime_perf_test: DevicePath | None = None
    """The same for ONNX Runtime's; with it, ``onnxruntime`` needs no Python on the device."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    affinity: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()
    """Processor numbers to stay on; empty: wherever the system puts it."""
    clock: Clock = Clock.WALL

    cool_down_c: Annotated[float, Field(gt=0, le=120)] | None = None
    """Before a visit the device cools to this temperature, within a time limit."""
    max_temperature_c: Annotated[float, Field(gt=0, le=150)] | None = None
    """A visit that ends hotter than this is measured again."""
    min_free_mb: Annotated[int, Field(ge=0)] = 100
    fixed_performance: bool = False
    """adb: ask Android for its fixed-performance mode while connected, and put it back."""
    emulator: EmulatorSection | None = None
    ethos_u: EthosUSection | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Cross-field rules; each message starts with the key to change."""
        found = (
            self._foreign_key(),
            self._runtime_problem(),
            self._clock_problem(),
            self._accelerator_problem(),
            self._limit_problem(),
        )
        problem = next(filter(None, found), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _foreign_key(self) -> str | None:
        """A key that the transport does not know: ignoring it would surprise."""
        owners = {
            "address": ("ssh", "adb"),
            "port": ("ssh",),
            "identity": ("ssh",),
            "serial": ("adb",),
            "fixed_performance": ("adb",),
            "emulator": ("emulator",),
            "ethos_u": ("vela",),
        }
        for key, transports in owners.items():
            if getattr(self, key) and self.transport not in transports:
                return f"{key}: has no meaning for the transport {self.transport}; only for {' and '.join(transports)}"
        if self.transport == "emulator" and self.emulator is None:
            return "emulator: the transport emulator needs a section [emulator] that names the cpu"
        if self.transport == "vela" and self.ethos_u is None:
            return "ethos_u: the transport vela needs a section [ethos_u] that names the accelerator"
        if self.address and self.serial:
            return "serial: give either a serial number or an address"
        return None

    def _runtime_problem(self) -> str | None:
        if not self.runtimes:
            return "runtimes: names none"
        if self.runtime not in self.runtimes:
            return f"runtime: {self.runtime} is not among runtimes ({', '.join(self.runtimes)})"
        return None

    def _clock_problem(self) -> str | None:
        if self.transport == "emulator" and self.clock is not Clock.ICOUNT:
            return "clock: the emulator counts instructions: icount"
        if self.transport == "vela" and self.clock is not Clock.ESTIMATE:
            return "clock: Vela estimates: estimate"
        if (self.transport == "vela") != (EngineName.VELA in self.runtimes):
            return "runtimes: vela goes with the transport vela, and nothing else does"
        if self.transport in {"local", "fake"} and self.clock is not Clock.WALL:
            return f"clock: {self.clock} is not the clock of {self.transport}"
        return None

    def _accelerator_problem(self) -> str | None:
        offered = f"is not among accelerators ({', '.join(self.accelerators)})"
        if self.accelerator not in self.accelerators:
            return f"accelerator: {self.accelerator} {offered}"
        named = [one for one in (Accelerator.GPU, Accelerator.NPU) if getattr(self, one) is not None]
        return next((f"{one}: {offered}" for one in named if one not in self.accelerators), None)

    def _limit_problem(self) -> str | None:
        if len(set(self.affinity)) != len(self.affinity):
            return "affinity: names a processor twice"
        if self.affinity and self.threads > len(self.affinity):
            return f"threads: {self.threads} threads do not fit on {len(self.affinity)} processors (affinity)"
        if self.cool_down_c and self.max_temperature_c and self.cool_down_c > self.max_temperature_c:
            return "cool_down_c: is above max_temperature_c"
        return None

    def section(self, accelerator: Accelerator) -> AcceleratorSection:
        """How runtimes come to an accelerator."""
        found = {Accelerator.GPU: self.gpu, Accelerator.NPU: self.npu}.get(accelerator)
        return found or AcceleratorSection()

    def check_threads(self, threads: int) -> None:
        """Whether so many threads show anything.

        Raises:
            InputError: The clock counts instructions, on one processor, or is a compiler's estimate.
        """
        if threads != 1 and self.clock.repeats:
            how = {Clock.ICOUNT: "counts instructions on one processor", Clock.ESTIMATE: "has one Ethos-U"}
            raise InputError(
                f"{self.name} {how[self.clock]}; {threads} threads show nothing there.",
                remedy="Use `threads=1`.",
            )

    def required_address(self) -> str:
        """The address, where the device can only be reached with one.

        Raises:
            ProfileError: The profile has none, as the shipped ones do; the remedy is the option that sets it.
        """
        if self.address is None:
            raise ProfileError(
                f"The device profile {self.name} has no address.",
                remedy="Set the address, `address=user@host`, or write it into a profile of your own.",
            )
        return self.address


def load_profile(
    name_or_path: str, *, folder: Path | None = None, overrides: Mapping[str, str] | None = None
) -> DeviceProfile:
    """The profile of a device, by its name or its file.

    Args:
        name_or_path: A device's name, or a path that ends in ``.toml``.
        folder: The user's own profiles; None: the folder that ``EDGEWIDTH_DEVICE_PROFILES`` names, if any.
        overrides: Single values as text, by key: ``{"address": "pi@10.0.0.7", "emulator.memory_mb": "4096"}``;
            lists are separated by commas, in brackets or without, and an empty text clears a key.

    Raises:
        ProfileError: No such device or file, or a key that does not make sense; the message names both.
    """
    if name_or_path.endswith(".toml"):
        return _load(Path(name_or_path), overrides or {})
    known = _profile_files(folder)
    if name_or_path not in known:
        close = get_close_matches(name_or_path, known, n=1)
        raise ProfileError(
            f"Unknown device {name_or_path!r}.",
            remedy=(f"Did you mean {close[0]}? " if close else "")
            + f"Known devices: {', '.join(known)}; or the path of a profile of your own, ending in .toml.",
        )
    return _load_named(name_or_path, known[name_or_path], overrides or {})


def list_profiles(folder: Path | None = None) -> list[DeviceProfile]:
    """All devices that can be named, sorted by name; the user's own hide shipped ones of the same name.

    Raises:
        ProfileError: A profile among them does not make sense.
    """
    return [_load_named(name, path, {}) for name, path in _profile_files(folder).items()]


def shipped_folder() -> Path:
    """Where the shipped profiles are: beside the package's code, or at the top of an editable checkout."""
    package = Path(__file__).parents[1]
    installed = package / "device_profiles"
    return installed if installed.is_dir() else package.parent / "device_profiles"


def _profile_files(folder: Path | None) -> dict[str, Path]:
    own = folder or (Path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None)
    if own is not None and not own.is_dir():
        raise ProfileError(
            f"{own} is not a folder of device profiles.", remedy="Give a folder with a NAME.toml for each device."
        )
    folders = [shipped_folder(), *([own] if own is not None else [])]
    # Hidden ones are of editors and file systems.
    files = {path.stem: path for one in folders for path in one.glob("*.toml") if not path.name.startswith(".")}
    return dict(sorted(files.items()))


def _load_named(name: str, path: Path, overrides: Mapping[str, str]) -> DeviceProfile:
    profile = _load(path, overrides)
    if profile.name != name:
        raise ProfileError(
            f"{path}: name: is {profile.name!r}, but in a folder of profiles the file's name counts.",
            remedy=f"Rename the file to {profile.name}.toml, or leave name out.",
        )
    return profile


def _load(path: Path, overrides: Mapping[str, str]) -> DeviceProfile:
    content = {"name": path.stem} | _read_toml(path)
    for key, text in overrides.items():
        _override(content, key, text)
    try:
        # As JSON and strictly: a list is a tuple and a text an enum value, but "4" is no number.
        return DeviceProfile.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise ProfileError(
            f"{_origin(path, error, overrides)}: {_problem(error, DeviceProfile)}.", remedy=_REMEDY
        ) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_PROFILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ProfileError(f"{path} could not be read: {reason}.", remedy=_REMEDY) from error
    if len(raw) > _MAX_PROFILE_BYTES:
        raise ProfileError(f"{path} is larger than {_MAX_PROFILE_BYTES} bytes, and no device profile.", remedy=_REMEDY)
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path} is not text in UTF-8.", remedy=_REMEDY) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"{path} is not TOML: {error}.", remedy=_REMEDY) from error


def _override(content: dict[str, Any], key: str, text: str) -> None:
    """Set one value of ``content`` from text, typed as the model has it."""
    model: type[BaseModel] = DeviceProfile
    section = content
    *outer, last = key.split(".")
    for part in outer:
        model = _section_model(model, part, key)
        inner = section.get(part)
        section[part] = section = dict(inner) if isinstance(inner, dict) else {}
    if last not in model.model_fields:
        raise ProfileError(f"`overrides` {key}: unknown key {last!r}.", remedy=_known_keys(model, last))
    annotation = model.model_fields[last].annotation
    if (inner_model := _section_of(annotation)) is not None:
        known = ", ".join(f"{key}.{name}" for name in inner_model.model_fields)
        raise ProfileError(f"`overrides` {key}: is a section; set one of its keys: {known}.")
    if not text:
        section.pop(last, None)
        return
    try:
        section[last] = _typed(annotation, text)
    except ValidationError as error:
        raise ProfileError(f"{_shown(key, text)}: {first_problem(error)}.") from error


def _typed(annotation: Any, text: str) -> Any:
    """The JSON value that ``text`` stands for in a field of this type."""
    if get_origin(annotation) is tuple:
        listed = re.fullmatch(r"\s*\[(.*)\]\s*", text)  # as TOML has it
        parts = listed[1] if listed else text
        return [_typed(get_args(annotation)[0], part.strip()) for part in parts.split(",")] if parts.strip() else []
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    return adapter.dump_python(adapter.validate_strings(text), mode="json")


def _section_model(model: type[BaseModel], part: str, key: str) -> type[BaseModel]:
    field = model.model_fields.get(part)
    found = _section_of(field.annotation) if field is not None else None
    if found is None:
        raise ProfileError(f"`overrides` {key}: there is no section {part!r}.", remedy=_known_keys(model, part))
    return found


def _section_of(annotation: Any) -> type[BaseModel] | None:
    options = (annotation, *get_args(annotation))
    return next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _origin(path: Path, error: ValidationError, overrides: Mapping[str, str]) -> str:
    """Where a wrong value comes from: an override, else the file."""
    place = ".".join(str(part) for part in error.errors()[0]["loc"])
    for key, text in overrides.items():
        if place == key or place.startswith(f"{key}."):
            return f"{path} with {_shown(key, text)}"
    return str(path)


def _shown(key: str, text: str) -> str:
    """An override as it was given, on one line."""
    return f"`overrides` {key}={text if text.isprintable() else repr(text)}"


def _problem(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] != "extra_forbidden":
        return first_problem(error)
    *outer, last = (str(part) for part in first["loc"])
    for part in outer:
        model = _section_model(model, part, part)
    return f"{'.'.join([*outer, last])}: unknown key. {_known_keys(model, last).rstrip('.')}"


def _known_keys(model: type[BaseModel], wrong: str) -> str:
    close = get_close_matches(wrong, model.model_fields, n=1)
    return (f"Did you mean {close[0]}? " if close else "") + f"Known keys: {', '.join(model.model_fields)}."
