"""All engines, and which of them a device profile means. A new one is a file beside this one and an entry here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.devices.engines.benchmark_model import BENCHMARK_MODEL
from edgewidth.devices.engines.perf_test import PERF_TEST
from edgewidth.devices.engines.python import LITERT, ONNXRUNTIME, TFLITE_RUNTIME
from edgewidth.errors import InputError

if TYPE_CHECKING:
    from edgewidth.devices.engines.engine import EngineSupport
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.records.measurement import Engine, EngineName

ENGINES: tuple[EngineSupport, ...] = (BENCHMARK_MODEL, PERF_TEST, LITERT, TFLITE_RUNTIME, ONNXRUNTIME)
"""Of those with one name the first that a profile offers is meant: a native program before a Python package."""


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
    """
    name = name or profile.runtime
    if name not in profile.runtimes:
        raise InputError(
            f"The device {profile.name} does not offer the runtime {name}.",
            remedy=f"Use one of {', '.join(profile.runtimes)}, or add it to the profile's runtimes.",
        )
    return next(one.engine for one in ENGINES if one.name is name and one.is_offered(profile))


def offered_engines(profile: DeviceProfile) -> tuple[Engine, ...]:
    """All that may be asked for on this device, in the profile's order."""
    return tuple(engine_named(profile, name) for name in profile.runtimes)
