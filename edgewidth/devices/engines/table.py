"""All engines, and which of them a device profile means. A new one is a file beside this one and an entry here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.devices.engines.benchmark_model import BENCHMARK_MODEL
from edgewidth.devices.engines.perf_test import PERF_TEST
from edgewidth.devices.engines.python import LITERT, ONNXRUNTIME, TFLITE_RUNTIME
from edgewidth.devices.engines.vela import VELA
from edgewidth.errors import InputError, ProfileError
from edgewidth.records.measurement import EngineName

if TYPE_CHECKING:
    from edgewidth.devices.engines.engine import EngineSupport
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.records.measurement import Accelerator, Engine

ENGINES: tuple[EngineSupport, ...] = (BENCHMARK_MODEL, PERF_TEST, LITERT, TFLITE_RUNTIME, ONNXRUNTIME, VELA)
"""A name means the first of its engines that a profile offers: a native program before a Python package."""


def support_of(engine: Engine) -> EngineSupport:
    """How edgewidth works with an engine.

    Raises:
        InputError: It does not.
    """
    found = next((one for one in ENGINES if _same_kind(one.engine, engine)), None)
    if found is None:
        raise InputError(f"edgewidth cannot measure with {engine}.")
    return found


def _same_kind(one: Engine, other: Engine) -> bool:
    return (one.runtime, one.launcher) == (other.runtime, other.launcher)


def engine_named(
    profile: DeviceProfile, name: EngineName | None = None, accelerator: Accelerator | None = None
) -> Engine:
    """The engine that a name means on this device, on an accelerator; where one is None: the profile's default.

    Raises:
        InputError: The profile does not offer it, or the engine has no way to that accelerator.
        ProfileError: The profile offers a runtime and does not say where its program is.
    """
    name, accelerator = name or profile.runtime, accelerator or profile.accelerator
    if name not in profile.runtimes:
        raise InputError(
            f"The device {profile.name} does not offer the runtime {name}.",
            remedy=f"Use one of {', '.join(profile.runtimes)}, or add it to the profile's runtimes.",
        )
    if accelerator not in profile.accelerators:
        raise InputError(
            f"The device {profile.name} does not offer the accelerator {accelerator}.",
            remedy=f"Use one of {', '.join(profile.accelerators)}, or add it: "
            f"`accelerators={','.join([*profile.accelerators, accelerator])}`",
        )
    supports = dict(zip(profile.runtimes, offered_supports(profile), strict=True))
    engine = supports[name].on(profile, accelerator)
    if engine is None:
        raise InputError(
            f"{name} has no way to the accelerator {accelerator} on {profile.name}.", remedy=_lead(name, accelerator)
        )
    return engine


def offered_engines(profile: DeviceProfile) -> tuple[Engine, ...]:
    """All that may be asked for on this device, in the profile's order; raises ``ProfileError`` as above."""
    made = (one.on(profile, accelerator) for one in offered_supports(profile) for accelerator in profile.accelerators)
    return tuple(engine for engine in made if engine is not None)


def offered_supports(profile: DeviceProfile) -> tuple[EngineSupport, ...]:
    """How edgewidth works with each of the profile's runtimes, in order; raises ``ProfileError`` as above."""
    return tuple(_offered_support(profile, name) for name in profile.runtimes)


def _offered_support(profile: DeviceProfile, name: EngineName) -> EngineSupport:
    named = [one for one in ENGINES if one.name is name]
    for one in named:
        if one.profile_key is None or getattr(profile, one.profile_key) is not None:
            return one
    keys = " or ".join(str(one.profile_key) for one in named)
    raise ProfileError(
        f"The device profile {profile.name}: {keys}: the runtime {name} needs the program's path.",
        remedy=f"Say where the program is, `{keys}=/path/on/the/device`, or take {name} out of the profile's runtimes.",
    )


def _lead(name: EngineName, accelerator: Accelerator) -> str:
    """What to write in a profile so that a runtime has a way to an accelerator."""
    if accelerator.is_cpu:
        return "Only TFLite's runtimes have it."
    if name is EngineName.ONNXRUNTIME:
        return f"Name its execution provider: `{accelerator}.provider=CUDA`, for example."
    return f"Name the delegate, a library on the device: `{accelerator}.delegate=/path/to/lib.so`"
