"""A device ready to measure variants of one search space: what profiling and refining stand on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.devices.device import Device, open_device
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.estimate import counting, estimate, scatter_of, visit_ms
from edgewidth.devices.measure.policy import Policy, default_policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.files import cache_folder
from edgewidth.formats.inspect import operator_work
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.space import ChannelConfig
from edgewidth.progress import SILENT, Progress
from edgewidth.records.provenance import Facts, differences
from edgewidth.records.table import ConfigVisits, LatencyTable
from edgewidth.stages.ledger import refusal

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.measurement import Clock, LatencyEstimate, MeasurementWarning, Setting, Statistic, Visit
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.target import Target


Reach = Callable[[], Device]
"""Reaches the device, the first time that it is called."""


def config_visits(config: ChannelConfig, visits: Sequence[Visit], statistic: Statistic) -> ConfigVisits:
    """What a latency table is fitted to: one value for each undisturbed visit."""
    some = counting(visits, statistic)
    return ConfigVisits(
        config=config,
        values_ms=tuple(visit_ms(visit, statistic) for visit in some),
        started_s=tuple(visit.started_s for visit in some),
    )


@contextmanager
def open_store(path: Path, space: SearchSpace) -> Iterator[MeasurementStore]:
    """A store whose models of ``space`` have its fingerprint, those too that version 1 measured under another."""
    with MeasurementStore(path) as store:
        store.rename_models(f"{space.old_fingerprint}:", f"{space.fingerprint}:")
        yield store


def measured_visits(
    store: MeasurementStore, setting: Setting, space: SearchSpace, statistic: Statistic
) -> dict[ChannelConfig, ConfigVisits]:
    """Everything a store holds of a search space in one setting, by configuration."""
    found = {}
    for key, visits in store.visits(setting).items():
        fingerprint, _, text = key.partition(":")
        if fingerprint == space.fingerprint:
            config = ChannelConfig.parse(text)
            found[config] = config_visits(config, visits, statistic)
    return found


def visiting(clock: Clock, visits: int | None = None, *, sessions: int = 1) -> Policy:
    """The policy for a clock, with other numbers of visits and sessions; one without noise needs no more than its own.

    Sessions are for few models: each sends their files anew.
    """
    policy = default_policy(clock)
    if visits is None or clock.repeats:
        return policy
    return policy.model_copy(update={"rounds": visits, "sessions": sessions})


@dataclass
class Bench:
    """A device, the store it fills, and the factory of the variants it measures."""

    reach: Reach
    target: Target
    setting: Setting
    """What all of its measurements have in common."""
    space: SearchSpace
    store: MeasurementStore
    factory: VariantFactory
    prior: LatencyTable | None = None
    """Another device's or precision's table, which stands in for what is not measured here."""
    progress: Progress = SILENT
    _warnings: dict[str, MeasurementWarning] = field(default_factory=dict)

    @property
    def device(self) -> Device:
        """The device itself, reached for it if that was not needed before.

        Raises:
            MismatchError: It is no longer what it was when the measurements began.
            DeviceError, TransientDeviceError: It cannot be reached.
        """
        device = self.reach()
        if found := differences(setting_now(device, self.target).facts, self.setting.facts):
            raise refusal(
                "The latency table belongs to other measurements",
                found,
                remedy="Profile again in another `out`, or with `force`.",
            )
        return device

    @property
    def facts(self) -> Facts:
        """What a document that is made of these measurements records as its inputs."""
        return {"search space": self.space, **self.setting.facts, "statistic": self.target.statistic}

    def measure(
        self,
        configs: Iterable[ChannelConfig],
        *,
        visits: int | None = None,
        sessions: int = 1,
        until: float = math.inf,
    ) -> None:
        """Visit every configuration ``visits`` times (None: as the policy has it); visits that the store has count.

        They are spread over so many sessions. No visit begins after the moment ``until``, in monotonic seconds.
        """
        variant, wanted = self.factory.variant, dict.fromkeys(configs)
        models = [Model(self._key(one), partial(variant, one), work=operator_work) for one in wanted]
        policy = visiting(self.setting.clock, visits, sessions=sessions)
        device, progress = self.device, self.progress
        for warning in measure(device, self.setting, models, self.store, policy=policy, until=until, progress=progress):
            self._warnings[warning.code] = warning

    @property
    def warnings(self) -> tuple[MeasurementWarning, ...]:
        """What made measurements less trustworthy; of each kind the latest."""
        return tuple(self._warnings[code] for code in sorted(self._warnings))

    def visits(self) -> dict[ChannelConfig, ConfigVisits]:
        """Every configuration of this space that the store holds for this setting."""
        return measured_visits(self.store, self.setting, self.space, self.target.statistic)

    def moments(self) -> frozenset[float]:
        """When the visits began that the store holds for this setting, disturbed ones included."""
        return frozenset(visit.started_s for _, visit in self.store.named_visits(self.setting))

    def estimate(self, config: ChannelConfig) -> LatencyEstimate:
        """What a configuration's visits amount to; how much visits differ is learned from all models.

        One that was never visited is measured now.
        """
        if config not in self.visits():
            self.measure([config])
        visits = self.store.visits(self.setting)
        known = scatter_of(visits.values(), self.target.statistic)
        return estimate(visits[self._key(config)], self.target.statistic, known=known)

    def _key(self, config: ChannelConfig) -> str:
        # The fingerprint keeps configurations of different spaces apart in one store.
        return f"{self.space.fingerprint}:{config}"


def setting_now(device: Device, target: Target) -> Setting:
    """What measurements made now would have in common; raises as ``Device.setting`` does."""
    return device.setting(target.engine, target.precision, target.threads)


@contextmanager
def reaching(profile: DeviceProfile, *, progress: Progress = SILENT) -> Iterator[Reach]:
    """A function that reaches the device when it is called first, and keeps it until the end of the block."""
    with ExitStack() as stack:
        yield cache(lambda: stack.enter_context(open_device(profile, progress=progress)))


@contextmanager
def open_bench(
    target: Target,
    space: SearchSpace,
    folder: RunFolder,
    *,
    reach: Reach | None = None,
    setting: Setting | None = None,
    with_prior: bool = True,
    progress: Progress = SILENT,
) -> Iterator[Bench]:
    """Prepare to measure variants of ``space``; ``folder`` has the store, and the prior table where there is one.

    Without ``with_prior`` that table is left alone: for measuring no table is needed.

    ``reach`` reaches the device; None: it is reached for this bench alone. ``setting`` is that of the measurements that
    are to be joined: the device is reached when there is something to measure, and must then still be the same. None:
    the device is reached now, and says it.

    Raises:
        InputError, DeviceError: The device does not offer what the target asks.
        DeviceError, TransientDeviceError: It cannot be reached.
    """
    with ExitStack() as stack:
        reach = reach or stack.enter_context(reaching(target.profile, progress=progress))
        setting = setting or setting_now(reach(), target)
        store = stack.enter_context(open_store(folder.measurements, space))
        factory = VariantFactory(space, target.precision, target.engine.file_format, cache_folder(), progress=progress)
        prior = LatencyTable.read(folder.prior) if with_prior and folder.prior.exists() else None
        yield Bench(reach, target, setting, space, store, factory, prior, progress)
