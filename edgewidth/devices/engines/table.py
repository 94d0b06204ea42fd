"""All engines, and which of them a device profile means. A new one is a file beside this one and an entry here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.devices.engines.benchmark_model import BENCHMARK_MODEL
from edgewidth.devices.engines.perf_test import PERF_TEST
from edgewidth.devices.engines.python import LITERT, ONNXRUNTIME, TFLITE_RUNTIME
from edgewidth.errors import InputError, ProfileError

if TYPE_CHECKING:
    from edgewidth.devices.engines.engine import EngineSupport
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.records.measurement import Engine, EngineName

ENGINES: tuple[EngineSupport, ...] = (BENCHMARK_MODEL, PERF_TEST, LITERT, TFLITE_RUNTIME, ONNXRUNTIME)
"""A name means the first of its engines that a profile offers: a native program before a Python package."""


def support_of(engine: Engine) -> EngineSupport:
    """How edgewidth works with an engine.

    Raises:
        InputError: It does not.
    """
    found = next((one for one in ENGINES if one.engine == engine), None)
    if found is None:
        raise InputError(f"edgewidth cannot measure with {engine}.")
    return found


def engine_named(profile: DeviceProfile, name: EngineName | None = None) -> Engine:
    """The engine that a name means on this device; None: the profile's default.

    Raises:
        InputError: The profile does not offer it.
        ProfileError: The profile offers a runtime and does not say where its program is.
    """
    name = name or profile.runtime
    if name not in profile.runtimes:
        raise InputError(
            f"The device {profile.name} does not offer the runtime {name}.",
            remedy=f"Use one of {', '.join(profile.runtimes)}, or add it to the profile's runtimes.",
        )
    return dict(zip(profile.runtimes, offered_engines(profile), strict=True))[name]


def offered_engines(profile: DeviceProfile) -> tuple[Engine, ...]:
    """All that may be asked for on this device, in the profile's order; raises ``ProfileError`` as above."""
    return tuple(_offered_engine(profile, name) for name in profile.runtimes)


def _offered_engine(profile: DeviceProfile, name: EngineName) -> Engine:
    named = [one for one in ENGINES if one.name is name]
    for one in named:
        if one.profile_key is None or getattr(profile, one.profile_key) is not None:
            return one.engine
    keys = " or ".join(str(one.profile_key) for one in named)
    raise ProfileError(
        f"The device profile {profile.name}: {keys}: the runtime {name} needs the program's path.",
        remedy=f"Say where the program is, `{keys}=/path/on/the/device`, or take {name} out of the profile's runtimes.",
    )
