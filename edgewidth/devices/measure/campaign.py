"""Measure many models on one device: what is in the store stays, what is missing is measured and put there."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.devices.measure import wire
from edgewidth.devices.measure.disturbed import disturbance, mark_disturbed
from edgewidth.devices.measure.native import as_measured
from edgewidth.devices.measure.policy import default_policy, visit_name
from edgewidth.devices.measure.session import Model, Order, Patience, RemoteSession
from edgewidth.devices.measure.warnings import find_warnings
from edgewidth.errors import DeviceError, StorageError, TransientDeviceError
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Clock, Visit

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.devices.measure.policy import Policy
    from edgewidth.devices.measure.store import MeasurementStore
    from edgewidth.progress import Progress, Task
    from edgewidth.records.measurement import MeasurementWarning, Setting

__all__ = ["Model", "measure"]

_FIRST_BATCH, _LARGEST_BATCH = 8, 64
_LIVING_BEATS = 2.0
"""After so many beats without one a runner that is to end is taken for dead."""
_MAX_HELD_BYTES = 256_000_000
_MAX_BATCH_BYTES = 64_000_000
"""The most bytes of new models that are sent at once: they are packed in memory."""
_MAX_OUTPUT_BYTES = 2_000_000_000
_POLL_S = (0.05, 1.0)
"""At least and at most so long between two looks at the output."""
_RARE_POLL_S = (2.0, 30.0)
"""The same for a device with one processor: each look is a command there, and takes time from the model."""


def measure(
    device: Device,
    setting: Setting,
    models: Sequence[Model],
    store: MeasurementStore,
    *,
    policy: Policy | None = None,
    progress: Progress = SILENT,
) -> tuple[MeasurementWarning, ...]:
    """Visit every model until the store holds ``policy.rounds`` undisturbed visits of it.

    May be killed at any moment and called again: what an earlier call left on the device is fetched first, and no visit
    in the store is made twice. ``setting`` is what ``device.setting`` returned, the keys of the models are unique, and
    every visit is committed to the store as it arrives. Without a policy it is the default one for the device's clock.

    Returns:
        What makes the measurements less trustworthy; also kept in the store.

    Raises:
        DeviceError: The device cannot measure this: a model does not run there, no space, nonsense as answer.
        TransientDeviceError: The link or the runner failed again and again.
        StorageError: The store cannot be written; the device keeps what was measured until the next call.
    """
    policy = policy or default_policy(setting.clock)
    campaign = _Campaign(as_measured(device, setting), setting, store, policy, progress)
    campaign.run(models)
    known = {model.key for model in models}
    visits = {model: some for model, some in store.visits(setting).items() if model in known}
    warnings = find_warnings(visits, setting, policy)
    store.warn(setting, warnings)
    return warnings


class _Campaign:
    """The state of one call of ``measure``: what is still to be visited, and how the runner on the device is doing.

    ``todo`` holds the visits that the device has not been told of, ``outstanding`` those that it has, by visit name.
    ``visits`` is the number of the next visit to each model, ``failures`` how often each could not be run. ``batch`` is
    how many visits are ordered at once. ``heard`` is when the runner last gave a sign of life, ``worked`` when it last
    did anything else (monotonic seconds); ``restarts`` counts how often it was started again, and ``revived`` says that
    this was the last thing that happened.
    """

    def __init__(
        self, device: Device, setting: Setting, store: MeasurementStore, policy: Policy, progress: Progress
    ) -> None:
        self.device, self.setting, self.store, self.policy, self.progress = device, setting, store, policy, progress
        self.patience = Patience(policy, progress)
        # The runner's seconds are the device's: an emulator on a busy host is many times slower than the host.
        self.silence_s = policy.silence_s * (10 if setting.clock is Clock.ICOUNT else 1)
        self.session: RemoteSession | None = None
        self.todo: deque[Order] = deque()
        self.outstanding: dict[str, Order] = {}
        self.visits: dict[str, int] = {}
        self.failures: dict[str, int] = {}
        self.batch = _FIRST_BATCH
        self.restarts = 0
        self.heard = self.worked = time.monotonic()
        self.revived = False

    def run(self, models: Sequence[Model]) -> None:
        """Fetch what is left over, then measure what is missing."""
        self._check_space()
        left = self.store.claim(self.setting)
        finished = False
        try:
            if left is not None:
                self._collect(RemoteSession(self.device, self.setting, left.folder, self.patience, left.position))
            self._plan(models)
            if self.todo:
                with self.progress.task(f"measuring on {self.setting.device}", len(self.todo)) as task:
                    self._measure(models, task)
            finished = True
        except (DeviceError, StorageError):
            if self.session is not None:
                self.session.leave()
            raise
        finally:
            self.store.release(self.setting, finished=finished)

    def _check_space(self) -> None:
        free, wanted = self.device.facts.free_bytes, self.device.profile.min_free_mb * 1_000_000
        if free is not None and free < wanted:
            raise DeviceError(
                f"{self.setting.device} has {free / 1e6:.0f} MB of free space; {wanted / 1e6:.0f} MB are wanted.",
                remedy="Free space there, or name another folder: `workdir=/path`",
            )

    def _collect(self, session: RemoteSession) -> None:
        """Fetch what an earlier program's runner measured, and end it."""
        if not session.exists():
            return
        self.progress.say(f"Fetching what was measured on {self.setting.device} before.")
        self.session = session
        try:
            self._finish()
        except DeviceError as error:  # what was read is stored; the rest is measured again
            self.progress.say(f"{error.message} It is left behind.")

    def _plan(self, models: Sequence[Model]) -> None:
        """Mark what counts, and put the missing visits in a row: round by round, each in an order of its own."""
        by_key = {model.key: model for model in models}
        everything = self.store.visits(self.setting)
        visits = {key: some for key, some in everything.items() if key in by_key}
        others = [visit for key, some in everything.items() if key not in by_key for visit in some]
        marked = mark_disturbed(visits, self.setting, others)
        self.store.mark(self.setting, [(visit_name(v.model, v.round), v) for v in marked])
        visits |= {key: [v for v in marked if v.model == key] for key in {v.model for v in marked}}
        self.visits = {key: 1 + max((visit.round for visit in visits.get(key, [])), default=-1) for key in by_key}
        missing = {key: self.policy.missing(visits.get(key, [])) for key in by_key}
        for number in range(self.policy.rounds):
            wanted = [key for key in by_key if missing[key] > number]
            self.todo.extend(self._order(by_key[key]) for key in self.policy.order(wanted, number))

    def _order(self, model: Model) -> Order:
        """The next visit to a model; a visit's name is its number and the model."""
        number = self.visits[model.key]
        self.visits[model.key] += 1
        return Order(visit_name(model.key, number), model)

    def _measure(self, models: Sequence[Model], task: Task) -> None:
        """Measure what is missing, and again what was disturbed, until the policy has enough."""
        self._open()
        total = 0
        while self.todo:
            total += len(self.todo)
            task.total(total)
            self._work(task)
            self._plan(models)
        self._finish()

    def _work(self, task: Task) -> None:
        """Keep the device in work and store what comes, until there is nothing left to do."""
        began, made = time.monotonic(), 0
        while self.todo or self.outstanding:
            self._top_up()
            visits = self._poll(task)
            made += visits
            if not visits:
                least, most = _RARE_POLL_S if self.device.facts.cores == 1 else _POLL_S
                per_visit_s = (time.monotonic() - began) / max(made, 1)
                time.sleep(min(max(0.3 * len(self.outstanding) * per_visit_s, least), most))

    def _poll(self, task: Task) -> int:
        """Read once and act on it; how many visits there were."""
        messages = self._session.poll()
        visits = [message for message in messages if isinstance(message, wire.Visit)]
        for visit in visits:
            self._keep(visit, task)
        self.store.advance(self.setting, self._session.position)
        for message in messages:
            if isinstance(message, wire.Failed):
                self._failed(message)
            elif isinstance(message, wire.End):
                self._ended(message)
        self._watch(messages)
        return len(visits)

    def _watch(self, messages: Sequence[wire.Message]) -> None:
        """Bring a silent runner back; give up one that talks and does nothing."""
        now = time.monotonic()
        if messages:
            self.heard, self.revived = now, False
        if any(not isinstance(message, wire.Beat) for message in messages):
            self.worked = now
        patience_s = 3 * (self.policy.visit_limit_s + self.policy.cool_limit_s + self.silence_s)
        if now - self.worked > patience_s and self.outstanding:
            raise DeviceError(f"The runner on {self.setting.device} says that it lives and measures nothing.")
        if self._session.position > _MAX_OUTPUT_BYTES:
            raise DeviceError(f"{self.setting.device} printed {_MAX_OUTPUT_BYTES / 1e9:g} GB and does not end.")
        if now - self.heard > self.silence_s:
            self._revive()

    def _revive(self) -> None:
        """Start the runner again where it was; if that has not helped, begin anew with what is missing."""
        self._count_restart(f"The runner on {self.setting.device} is silent.")
        self.heard = time.monotonic()
        if self.revived:
            self._begin_anew()
        else:
            self.revived = True
            self._session.begin(self.policy)

    def _begin_anew(self) -> None:
        self._session.leave()  # should it live after all, it must not disturb the new one
        self.todo.extendleft(reversed(self.outstanding.values()))
        self.outstanding.clear()
        self._open()

    def _count_restart(self, why: str) -> None:
        self.restarts += 1
        if self.restarts > self.policy.restarts:
            raise TransientDeviceError(
                f"{why} It was started again {self.policy.restarts} times.",
                remedy="What was measured is kept: start the same command again when the device is well.",
            )
        self.progress.say(f"{why} It is started again.")

    @property
    def _session(self) -> RemoteSession:
        assert self.session is not None  # noqa: S101 - opened first; this tells mypy
        return self.session

    def _open(self) -> None:
        folder = f"{self.device.transport.workdir}/session-{secrets.token_hex(6)}"
        self.store.open_session(self.setting, folder)
        self.session = RemoteSession(self.device, self.setting, folder, self.patience)
        self.session.begin(self.policy)
        self.heard = self.worked = time.monotonic()
        self.revived = False

    def _finish(self) -> None:
        """End the session, store what it still has to say and delete it."""
        session = self._session
        session.stop()
        heard, insisted = time.monotonic(), False
        while time.monotonic() - heard < self.silence_s:
            if not insisted and time.monotonic() - heard > min(_LIVING_BEATS * self.policy.beat_s, self.silence_s / 2):
                session.insist()
                insisted = True
            messages = session.poll()
            for message in messages:
                if isinstance(message, wire.Visit):
                    self._keep(message, None)
            if any(isinstance(message, wire.End) for message in messages):
                break
            heard = time.monotonic() if messages else heard
            time.sleep(_POLL_S[0])
        session.remove()

    def _top_up(self) -> None:
        """Order more before the device runs out; on one processor only when it has: copying would disturb it."""
        enough = 0 if self.device.facts.cores == 1 else self.batch // 2
        if not self.todo or len(self.outstanding) > enough:
            return
        # What may lie on the device at once: what is kept, and two batches of what is not.
        free = self.device.facts.free_bytes
        room = 2 * _MAX_HELD_BYTES if free is None else min(2 * _MAX_HELD_BYTES, free // 2)
        sent = self._session.order(
            [self.todo[i] for i in range(min(self.batch, len(self.todo)))],
            self.policy.plan(),
            max_held_bytes=room // 2,
            max_batch_bytes=min(_MAX_BATCH_BYTES, room // 4),
        )
        orders = [self.todo.popleft() for _ in range(sent)]
        self.outstanding |= {order.visit: order for order in orders}
        self.batch = min(2 * sent, _LARGEST_BATCH)  # fewer than asked for where their models are large

    def _keep(self, message: wire.Visit, task: Task | None) -> None:
        number, _, model = message.id.partition("@")
        visit = Visit(
            model=model,
            round=int(number),
            started_s=message.started_s,
            warmup_ns=message.warmup_ns,
            runs_ns=message.runs_ns,
            before=message.before,
            after=message.after,
            own_s=message.own_s,
        )
        reason = disturbance(visit, self.device.profile)
        visit = visit.model_copy(update={"disturbed": reason})
        self.store.add(self.setting, message.id, visit)
        self.outstanding.pop(message.id, None)
        if task is not None:
            task.advance()
            task.note(f"{len(self.outstanding) + len(self.todo)} visits left")

    def _failed(self, message: wire.Failed) -> None:
        order = self.outstanding.pop(message.id, None)
        if order is None:
            return
        key = order.model.key
        self.failures[key] = self.failures.get(key, 0) + 1
        if self.failures[key] > 1:
            raise DeviceError(
                f"{self.setting.device} could not run {key}: {message.reason}.",
                remedy="Check that the device has memory for the model and that its runtime knows all operators.",
            )
        self.todo.append(self._order(order.model))

    def _ended(self, end: wire.End) -> None:
        name = self.setting.device
        if end.status == "no runtime":
            raise DeviceError(
                f"{self.setting.engine} does not work on {name}: {end.detail}",
                remedy=self.device.install_line(self.setting.engine),
            )
        if end.status == "disk full":
            raise DeviceError(f"The disk of {name} is full.", remedy="Free space there and start again.")
        if end.status == "failed":
            raise DeviceError(f"The runner on {name} failed: {end.detail}")
        self._count_restart(f"The runner on {name} ended: {end.status}.")
        self._begin_anew()
