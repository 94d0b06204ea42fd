"""What edgewidth must know of an engine to measure with it; ``table`` holds all that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport
    from edgewidth.records.measurement import Accelerator, DeviceFacts, Engine, EngineName

    Json = dict[str, Any]

LEAST_RUNS = 3
"""No program is asked for fewer at a time, since ``benchmark_model``'s statistics tell exactly so many."""


class Runs(NamedTuple):
    """Raw nanoseconds of inferences, and the processor seconds that they took with everything around them.

    ``first_ns`` are those that warmed a process up. Runs that were told together stand in rising order.
    """

    first_ns: list[int]
    runs_ns: list[int]
    own_s: float
    load_ns: int | None = None
    """How long the program took to load the model; None: it does not tell."""
    placed: Json | None = None
    """Where the operators ran (see ``on_device.placement``); None: the program does not tell."""


class Program(Protocol):
    """A benchmark program on a device."""

    def invoke(
        self, model: str, runs: int, *, timeout_s: float, inputs: Sequence[Json] = (), entry: Json | None = None
    ) -> Runs:
        """Run a model about so often, back to back.

        ``inputs`` are the fields of ``ModelInput`` for each; without any the program makes up what it needs.
        ``entry`` are those of ``Entry``; None: where the program enters by itself.

        Raises:
            VisitError: The program failed, printed what cannot be understood, or cannot give such inputs.
            TransientDeviceError: The link failed.
        """


class EngineSupport(Protocol):
    """How edgewidth works with one engine."""

    @property
    def name(self) -> EngineName:
        """How it is asked for."""

    @property
    def engine(self) -> Engine:
        """Which one it is, on the processor."""

    @property
    def key(self) -> str:
        """Its name in ``DeviceFacts.runtimes``."""

    @property
    def needs_python(self) -> bool:
        """Whether the device needs Python for it."""

    @property
    def profile_key(self) -> str | None:
        """The key of a device profile that must say where its program is; None: it needs none."""

    def on(self, profile: DeviceProfile, accelerator: Accelerator) -> Engine | None:
        """The engine on an accelerator, as a device profile leads there; None: it has no way."""

    def way(self, profile: DeviceProfile, engine: Engine) -> Json:
        """How it comes to its accelerator on this device: the fields of ``on_device.loaded.Asked.engine``."""

    def version(self, transport: Transport, profile: DeviceProfile, facts: DeviceFacts) -> str | None:
        """The version that is ready on the device, after putting there what is to be put; None: it is not there.

        Raises:
            ProfileError: What is to be put there is not on this machine.
            DeviceError: It cannot be copied.
        """

    def used(self, version: str, profile: DeviceProfile, engine: Engine) -> str:
        """The version that was found, as measurements with an engine of this kind name it."""

    def install_line(self, profile: DeviceProfile, facts: DeviceFacts) -> str:
        """What to do so that the device has it, or why it cannot."""

    def program(self, transport: Transport, profile: DeviceProfile, engine: Engine, threads: int) -> Program | None:
        """The program that runs models; None: ``on_device.runner`` does, in the device's Python."""


@dataclass(frozen=True)
class LedEngine:
    """An engine that a device profile leads to its accelerators: what all runtimes that execute models share."""

    name: EngineName
    engine: Engine
    lead: Callable[[DeviceProfile, Accelerator], Json | None]
    """How a profile leads it to an accelerator: ``delegate``, ``provider`` and the like; None: it has no way there."""

    def on(self, profile: DeviceProfile, accelerator: Accelerator) -> Engine | None:
        """See ``EngineSupport``."""
        lead = self.lead(profile, accelerator)
        if lead is None:
            return None
        return self.engine.model_copy(update={"accelerator": accelerator, "backend": _backend(lead)})

    def way(self, profile: DeviceProfile, engine: Engine) -> Json:
        """See ``EngineSupport``."""
        lead = self.lead(profile, engine.accelerator) or {}
        return {"runtime": engine.runtime.value, "accelerator": engine.accelerator.value, **lead}


def lead_to_provider(profile: DeviceProfile, accelerator: Accelerator) -> Json | None:
    """ONNX Runtime's way: an execution provider, perhaps of a plug-in; ``cpu`` needs none."""
    section = profile.section(accelerator)
    if accelerator.value == "cpu":
        return {}
    if section.provider is None:
        return None
    library = {"library": section.provider_library} if section.provider_library else {}
    return {"provider": section.provider, **library, "options": options_of(section.provider_options)}


def _backend(way: Json) -> str:
    """``Engine.backend`` for a way to an accelerator: what leads there, and the options that it is given."""
    leads = [way[key] for key in ("delegate", "provider", "library") if way.get(key)]
    options = [f"{key}={value}" for key, value in (way.get("options") or {}).items()]
    return " ".join([*leads, *options])


def options_of(texts: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dictionary."""
    return {key: value for key, _, value in (text.partition("=") for text in texts)}
