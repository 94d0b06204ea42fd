"""Which device, and how it is to be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.records.measurement import Precision, Statistic

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.records.measurement import Accelerator, Engine, EngineName


@dataclass(frozen=True)
class Target:
    """A device profile with the choices that a run makes on top of it."""

    profile: DeviceProfile
    engine: Engine
    precision: Precision
    threads: int
    statistic: Statistic = Statistic.MEDIAN


def make_target(
    device: str,
    *,
    folder: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    runtime: EngineName | None = None,
    accelerator: Accelerator | None = None,
    allow_fallback: bool = False,
    threads: int | None = None,
    precision: Precision = Precision.INT8,
    statistic: Statistic = Statistic.MEDIAN,
) -> Target:
    """Load a device profile; where ``runtime``, ``accelerator`` or ``threads`` is None, the profile decides.

    ``allow_fallback``: a measurement may stand of which nothing ran on the accelerator.

    Raises:
        ProfileError: No such profile, or one that does not make sense.
        InputError: A runtime or an accelerator that the profile does not offer, or more threads than its clock shows.
    """
    from edgewidth.devices.engines.table import engine_named  # noqa: PLC0415  help stays instant
    from edgewidth.devices.profiles import load_profile  # noqa: PLC0415  help stays instant

    profile = load_profile(device, folder=folder, overrides=overrides)
    if allow_fallback:
        profile = profile.model_copy(update={"allow_fallback": True})
    threads = threads or profile.threads
    profile.check_threads(threads)  # before a board is booted for it
    return Target(profile, engine_named(profile, runtime, accelerator), precision, threads, statistic)
