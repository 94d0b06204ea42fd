"""Measure many models on one device: what is in the store stays, what is missing is measured and put there."""

from __future__ import annotations

import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgewidth.devices.measure import wire
from edgewidth.devices.measure.disturbed import disturbance, mark_disturbed
from edgewidth.devices.measure.native import as_measured
from edgewidth.devices.measure.patience import Patience
from edgewidth.devices.measure.policy import default_policy, visit_name
from edgewidth.devices.measure.ran import check_ran, how_it_ran
from edgewidth.devices.measure.reasons import plain_reason
from edgewidth.devices.measure.session import KEPT_MODELS, Model, Order, RemoteSession
from edgewidth.devices.measure.store import being_measured
from edgewidth.devices.measure.warnings import find_warnings
from edgewidth.devices.measure.watch import Watch
from edgewidth.devices.reach.local import LocalTransport
from edgewidth.errors import DeviceError, ModelFailedError, StorageError, SurroundingsError
from edgewidth.files import alive_file
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Clock, Visit
from edgewidth.waiting import last_words, pause

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.devices.measure.policy import Policy
    from edgewidth.devices.measure.store import MeasurementStore
    from edgewidth.progress import Progress, Task
    from edgewidth.records.measurement import MeasurementWarning, OperatorWork, Setting

__all__ = ["Model", "measure"]

_FIRST_BATCH, _LARGEST_BATCH = 8, 64
_MAX_HELD_BYTES = 256_000_000
_MAX_BATCH_BYTES = 64_000_000
"""The most bytes of new models that are sent at once: they are packed in memory."""
_MAX_OUTPUT_BYTES = 2_000_000_000
_POLL_S = (0.05, 1.0)
"""At least and at most so long between two looks at the output."""
_LAST_S = 5.0
"""How long the runner may take to end its visit when the campaign is interrupted."""
_RARE_POLL_S = (5.0, 60.0)
"""The same for a device with one processor: each look is a command there, and takes time from the model."""
_POLLS, _RARE_POLLS = 0.3, 0.9
"""After which share of the time that the visits ordered will take the output is looked at."""


def measure(
    device: Device,
    setting: Setting,
    models: Sequence[Model],
    store: MeasurementStore,
    *,
    policy: Policy | None = None,
    until: float = math.inf,
    progress: Progress = SILENT,
) -> tuple[MeasurementWarning, ...]:
    """Visit every model until the store holds ``policy.rounds`` undisturbed visits of it.

    May be killed at any moment and called again: what an earlier call left on the device is fetched first, and no visit
    in the store is made twice. While another program measures on the device, that is waited for. ``setting`` is what
    ``device.setting`` returned, the keys of the models are unique, and every visit is committed to the store as it
    arrives. Without a policy it is the default one for the device's clock. No visit begins after the moment ``until``
    (monotonic seconds): some may be missing then, and some models have none. Interrupted, it lets the visit in progress
    end and fetches it, if that takes no more than a few seconds.

    Returns:
        What makes all measurements of this setting in the store less trustworthy; also kept there.

    Raises:
        DeviceError: The device cannot measure this: a model does not run there, no space, nonsense as answer; or
            another program measures on it for longer than ``policy.patience_s``.
        TransientDeviceError: The link or the runner failed again and again.
        StorageError: The store cannot be written; the device keeps what was measured until the next call.
    """
    policy = policy or default_policy(setting.clock)
    campaign = _Campaign(as_measured(device, setting), setting, store, policy, until, progress)
    campaign.run(models)
    warnings = find_warnings(store.visits(setting), setting, policy)
    store.warn(setting, warnings)
    return warnings


class _Campaign:
    """The state of one call of ``measure``: what is still to be visited, and how the runner on the device is doing.

    ``todo`` holds the visits that the device has not been told of, ``outstanding`` those that it has, by visit name.
    ``compiling``: the engine may compile what it loads. ``models`` are those that were asked for, by key. ``visits`` is
    the number of the next visit to each model, ``failures`` the files of each that could not be run. ``batch`` is how
    many visits are ordered at once. ``breaks`` is how many of the link's failures have been looked into.
    """

    def __init__(
        self,
        device: Device,
        setting: Setting,
        store: MeasurementStore,
        policy: Policy,
        until: float,
        progress: Progress,
    ) -> None:
        self.device, self.setting, self.store, self.policy, self.progress = device, setting, store, policy, progress
        self.until = until
        self.compiling = not setting.engine.accelerator.is_cpu
        self.models: dict[str, Model] = {}
        self.patience = Patience(policy, progress)
        self.watch = Watch(setting, policy, progress)
        self.breaks = 0
        self.session: RemoteSession | None = None
        self.todo: deque[Order] = deque()
        self.outstanding: dict[str, Order] = {}
        self.visits: dict[str, int] = {}
        self.failures: dict[str, set[str]] = {}
        self.batch = _FIRST_BATCH

    def run(self, models: Sequence[Model]) -> None:
        """Fetch what is left over, then measure what is missing."""
        self._check_space()
        left = self.store.claim(self.setting)
        self.models = {model.key: model for model in models}
        finished = False
        try:
            if left is not None:
                self._collect(RemoteSession(self.device, self.setting, left.folder, self.patience, left.position))
            self._plan()
            if self.todo:
                doing = "estimating for" if self.setting.clock is Clock.ESTIMATE else "measuring on"
                with self.progress.task(f"{doing} {self.setting.device}", len(self.todo)) as task:
                    self._measure(task)
            finished = True
        except (DeviceError, StorageError):
            if self.session is not None:
                self.session.leave()
            raise
        except KeyboardInterrupt:
            finished = self._interrupted() if self.session is not None else left is None
            raise
        finally:
            self.store.release(self.setting, finished=finished)

    def _interrupted(self) -> bool:
        """Let the runner end, and fetch what it has, in a few seconds; whether nothing is left of it."""
        try:
            with last_words():
                self.patience.hurry()
                return self._finish(limit_s=_LAST_S)
        except SurroundingsError:  # it ends by itself, and the next campaign fetches what it has
            return False

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
        self.progress.say(f"Fetching what ran on {self.setting.device} before.")
        self.session = session
        try:
            self._finish()
        except DeviceError as error:  # what was read is stored; the rest is measured again
            self.progress.say(f"{error.message} It is left behind.")
        self.session = None

    def _plan(self) -> None:
        """Mark what counts, and put the missing visits in a row: round by round, each in an order of its own."""
        by_key = self.models
        everything = self.store.visits(self.setting)
        visits = {key: some for key, some in everything.items() if key in by_key}
        others = [visit for key, some in everything.items() if key not in by_key for visit in some]
        marked = mark_disturbed(visits, self.setting, others)
        self.store.mark(self.setting, [(visit_name(v.model, v.round), v) for v in marked])
        visits |= {key: [v for v in marked if v.model == key] for key in {v.model for v in marked}}
        self.visits = {key: 1 + max((visit.round for visit in visits.get(key, [])), default=-1) for key in by_key}
        missing = {key: self.policy.missing(visits.get(key, [])) for key in by_key}
        for some in self._groups([key for key in by_key if missing[key]]):
            for number in range(self.policy.rounds):
                wanted = [key for key in some if missing[key] > number]
                self.todo.extend(self._order(by_key[key]) for key in self.policy.order(wanted, number))

    def _groups(self, keys: Sequence[str]) -> list[Sequence[str]]:
        """The models that are visited in turn: all of them, or as many as stay loaded where loading one takes long."""
        if not self.compiling:
            return [keys]
        return [keys[begin : begin + KEPT_MODELS] for begin in range(0, len(keys), KEPT_MODELS)]

    def _order(self, model: Model) -> Order:
        """The next visit to a model; a visit's name is its number and the model."""
        number = self.visits[model.key]
        self.visits[model.key] += 1
        return Order(visit_name(model.key, number), model)

    def _measure(self, task: Task) -> None:
        """Measure what is missing, and again what was disturbed, until the policy has enough, session by session."""
        least, total = len(self.todo), 0
        for part in self.policy.parts():
            self.policy = part
            self.todo.clear()  # what was planned for all sessions
            self._plan()
            if not self.todo or self._late():
                continue
            self._open()
            while self.todo and not self._late():
                total += len(self.todo)
                task.total(max(least, total))
                self._work(task)
                self._plan()
            self.todo.clear()
            self._finish()
            self.session = None

    def _finish(self, *, limit_s: float = math.inf) -> bool:
        """End the session and fetch what it has; whether that was done within ``limit_s``."""
        silence_s = min(self.watch.silence_s, limit_s)
        keep: Callable[[wire.Visit], None] = self._keep
        if self.outstanding and self.device.facts.cores == 1:
            for message in self._session.poll():
                if isinstance(message, wire.Visit):
                    self._keep(message)
            keep = _drop  # to be told to stop takes time from the visit in progress
        return self._session.finish(keep, beat_s=self.policy.beat_s, silence_s=silence_s, limit_s=limit_s)

    def _late(self) -> bool:
        return time.monotonic() >= self.until

    def _work(self, task: Task) -> None:
        """Keep the device in work and store what comes, until there is nothing left to do, or no time."""
        began, made = time.monotonic(), 0
        while (self.todo or self.outstanding) and not self._late():
            self._top_up()
            visits = self._poll(task)
            made += visits
            if not visits:
                alone = self.device.facts.cores == 1
                (least, most), share = (_RARE_POLL_S, _RARE_POLLS) if alone else (_POLL_S, _POLLS)
                per_visit_s = (time.monotonic() - began) / max(made, 1)
                wait_s = min(max(share * len(self.outstanding) * per_visit_s, least), most)
                pause(max(0.0, min(wait_s, self.until - time.monotonic())))

    def _poll(self, task: Task) -> int:
        """Read once and act on it; how many visits there were."""
        messages = self._session.poll()
        visits = [message for message in messages if isinstance(message, wire.Visit)]
        for visit in visits:
            self._keep(visit)
            task.advance()
        self.store.advance(self.setting, self._session.position)
        for message in messages:
            if isinstance(message, wire.Busy):
                busy = being_measured(self.setting.device, f"{message.holder} there")
                self.progress.say(f"{busy} It is waited for, for at most {self.policy.patience_s:g} s.")
            elif isinstance(message, wire.Failed):
                self._failed(message)
            elif isinstance(message, wire.End):
                self._ended(message)
        if self._session.position > _MAX_OUTPUT_BYTES:
            raise DeviceError(
                f"{self.setting.device} printed {_MAX_OUTPUT_BYTES / 1e9:g} GB and does not end.",
                remedy="Restart the device, and start the same command again.",
            )
        if self.watch.hear(messages, busy=bool(self.outstanding)):
            self._revive()
        elif self.patience.breaks > self.breaks:
            self._look_after()
        return len(visits)

    def _look_after(self) -> None:
        """See, after the link was broken, what became of the runner: the device may have been restarted."""
        self.breaks = self.patience.breaks
        if self._session.exists():
            self._session.begin(self.policy)
        else:
            self.watch.count_restart(f"{self.setting.device} was restarted and has lost what was on it.")
            self._begin_anew()

    def _revive(self) -> None:
        """Start the runner again where it was; if that has not helped or cannot, begin anew with what is missing."""
        helped = not self.watch.revived and self._session.exists()
        self.watch.count_restart(f"The runner on {self.setting.device} is silent.")
        self.watch.revive()
        if helped:
            self._session.begin(self.policy)
        else:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._session.leave()  # should it live after all, it must not disturb the new one
        self.todo.extendleft(reversed(self.outstanding.values()))
        self.outstanding.clear()
        self._open()

    @property
    def _session(self) -> RemoteSession:
        assert self.session is not None  # noqa: S101 - opened first; this tells mypy
        return self.session

    def _open(self) -> None:
        folder = f"{self.device.transport.workdir}/session-{secrets.token_hex(6)}"
        self.store.open_session(self.setting, folder)
        # A store in a temporary folder ends with this program, and nobody comes back for what was measured for it.
        alive = alive_file(self.store.path) if isinstance(self.device.transport, LocalTransport) else None
        self.session = RemoteSession(self.device, self.setting, folder, self.patience, alive=alive)
        self.session.begin(self.policy)
        self.watch.begin()

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
            self.policy.plan(compiling=self.compiling),
            max_held_bytes=room // 2,
            max_batch_bytes=min(_MAX_BATCH_BYTES, room // 4),
        )
        orders = [self.todo.popleft() for _ in range(sent)]
        self.outstanding |= {order.visit: order for order in orders}
        self.batch = min(2 * sent, _LARGEST_BATCH)  # fewer than asked for where their models are large

    def _keep(self, message: wire.Visit) -> None:
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
            load_ns=message.load_ns,
            ran=None if message.placed is None else how_it_ran(message.placed, self._work_of(model)),
            session=self._session.name,
        )
        reason = disturbance(visit, self.device.profile)
        visit = visit.model_copy(update={"disturbed": reason})
        if visit.ran is not None and not self.device.profile.allow_fallback:
            check_ran(visit.ran, self.setting)
        self.store.add(self.setting, message.id, visit)
        self.outstanding.pop(message.id, None)

    def _work_of(self, key: str) -> Sequence[OperatorWork]:
        """What a model's operators cost, where that is known of it."""
        model = self.models.get(key)
        return () if model is None or model.work is None else model.work(model.content())

    def _failed(self, message: wire.Failed) -> None:
        order = self.outstanding.pop(message.id, None)
        if order is None:
            return
        if message.of_engine:
            raise DeviceError(
                f"{self.setting.engine} does not work on {self.setting.device}: {plain_reason(message.reason)}.",
                remedy=f"The section {self.setting.engine.accelerator} of the device profile says what leads there; "
                f"edgewidth devices check {self.setting.device} tells what is on the device.",
            )
        key = order.model.key
        failed = self.failures.setdefault(key, set())
        failed.add(self._session.forget(order))  # one that did not arrive whole fails in every visit ordered with it
        if message.final or len(failed) > 1:
            reason = plain_reason(message.reason)
            raise ModelFailedError(
                f"{self.setting.device} could not run {key}: {reason}.",
                reason=reason,
                remedy="Check that the device has memory for the model and that its runtime knows all operators.",
            )
        self.todo.append(self._order(order.model))

    def _ended(self, end: wire.End) -> None:
        name = self.setting.device
        if end.status == "busy":
            self._session.remove()  # all of it is read
            self.session = None
            raise DeviceError(
                being_measured(name, f"{end.detail} there"),
                remedy="Wait until it is done, and start the same command again.",
            )
        if end.status == "no runtime":
            raise DeviceError(
                f"{self.setting.engine} does not work on {name}: {end.detail}",
                remedy=self.device.install_line(self.setting.engine),
            )
        if end.status == "disk full":
            raise DeviceError(f"The disk of {name} is full.", remedy="Free space there and start again.")
        if end.status == "failed":
            raise DeviceError(
                f"The runner on {name} failed: {end.detail}",
                remedy=f"edgewidth devices check {name} tells what is missing there.",
            )
        self.watch.count_restart(f"The runner on {name} ended: {end.status}.")
        self._begin_anew()


def _drop(_: wire.Visit) -> None:
    """Keep nothing of a visit."""
