"""Vela as an engine: what it says of an int8 .tflite stands for what an Ethos-U would need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewidth.records.measurement import Accelerator, Engine, EngineName, Runtime

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport
    from edgewidth.records.measurement import DeviceFacts

    Json = dict[str, Any]


class VelaEngine:
    """See ``EngineSupport``. There is no way beside the NPU, and nothing to put on a device."""

    name = EngineName.VELA
    engine = Engine(runtime=Runtime.VELA, accelerator=Accelerator.NPU)
    key = Runtime.VELA.value
    needs_python = False
    profile_key: None = None

    def on(self, profile: DeviceProfile, accelerator: Accelerator) -> Engine | None:
        """The Ethos-U that the profile names; a system and a memory mode make another engine of it."""
        if accelerator is not Accelerator.NPU or profile.ethos_u is None:
            return None
        return self.engine.model_copy(update={"backend": profile.ethos_u.text})

    def way(self, profile: DeviceProfile, engine: Engine) -> Json:
        """The runner of its transport knows."""
        del profile
        return {"runtime": engine.runtime.value, "accelerator": engine.accelerator.value}

    def version(self, transport: Transport, profile: DeviceProfile, facts: DeviceFacts) -> str | None:
        """That of the package on this machine."""
        del transport, profile
        return facts.runtimes.get(self.key)

    def used(self, version: str, profile: DeviceProfile, engine: Engine) -> str:
        """The version itself."""
        del profile, engine
        return version

    def install_line(self, profile: DeviceProfile, facts: DeviceFacts) -> str:
        """What to type on this machine."""
        del profile, facts
        return "pip install 'edgewidth[ethos-u]'"

    def program(self, transport: Transport, profile: DeviceProfile, engine: Engine, threads: int) -> None:
        """None: the runner asks it."""


VELA = VelaEngine()
