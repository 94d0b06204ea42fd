"""The host's end of a runner's folder on the device: give orders, read what was measured, clean up."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgewidth.devices.engines.table import support_of
from edgewidth.devices.measure import wire
from edgewidth.devices.on_device.values import values_file
from edgewidth.devices.reach.facts import runner_archive
from edgewidth.errors import SurroundingsError
from edgewidth.waiting import go_on, pause

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.devices.device import Device
    from edgewidth.devices.measure.patience import Patience
    from edgewidth.devices.measure.policy import Policy
    from edgewidth.records.inputs import Feed
    from edgewidth.records.measurement import OperatorWork, Setting

_IDLE_LIMIT_S = 900.0
"""A runner whose host is gone ends after so long; what it measured stays at least for as long again."""
_NAP_S = 0.02
_LIVING_BEATS = 2.0
"""After so many beats without one a runner that is to end is taken for dead."""
_POLL_S = 0.05
KEPT_MODELS = 8
"""How many models stay loaded between their visits where an accelerator may compile what it loads, which can take as
long as hundreds of runs. More would crowd a phone's memory."""


class Model(NamedTuple):
    """A file to measure. ``content`` is called when it is needed, and again if the device could not keep it."""

    key: str
    content: Callable[[], bytes]
    feed: Feed | None = None
    """What it is given; None: random values of the shapes that it has, as files of our own are."""
    work: Callable[[bytes], Sequence[OperatorWork]] | None = None
    """What the operators of its content cost, in order; None: that is not known."""


class Order(NamedTuple):
    """One visit to make."""

    visit: str
    model: Model


class RemoteSession:
    """A session of the runner in ``folder``, an absolute path on the device.

    Every call over the link goes through ``patience``; the output is read from ``position`` on. ``alive``: a file of
    the device that this program has locked until nobody can read the output any more; None: that cannot be told there.
    """

    def __init__(
        self,
        device: Device,
        setting: Setting,
        folder: str,
        patience: Patience,
        position: int = 0,
        *,
        alive: Path | None = None,
    ) -> None:
        self.folder = folder
        self._alive = alive
        self._setting = setting
        self._device, self._link, self._patience = device, device.transport, patience
        self._reader = wire.Reader(position)
        self._batches = 0
        self._files: dict[str, tuple[str, str]] = {}  # by model: its file there and the digest
        self._ordered: dict[str, str] = {}  # by visit: the file that it is to be made with
        self.held_bytes = 0

    @property
    def name(self) -> str:
        """That of its folder, which no other session has."""
        return self.folder.rpartition("/")[2]

    @property
    def position(self) -> int:
        """How far the output was read and understood."""
        return self._reader.offset

    def exists(self) -> bool:
        """Whether the device still has it: a fresh system or an emptied temporary folder does not."""
        return bool(self._patience(lambda: self._link.read(f"{self.folder}/job.json", 0, max_bytes=1)))

    def begin(self, policy: Policy) -> None:
        """Put the runner and its job there, and start it; again: it goes on where it was."""
        engine = self._setting.engine
        job = {
            "engine": support_of(engine).way(self._device.profile, engine),
            "kept": 0 if engine.accelerator.is_cpu else KEPT_MODELS,
            "threads": self._setting.threads,
            "affinity": list(self._device.profile.affinity),
            "cool_down_c": self._device.profile.cool_down_c,
            "cool_limit_s": policy.cool_limit_s,
            "idle_limit_s": _IDLE_LIMIT_S,
            "busy_limit_s": policy.patience_s,
            "beat_s": policy.beat_s,
            "nap_s": _NAP_S,
            "alive": None if self._alive is None else str(self._alive),
        }
        self._put({"runner.pyz": runner_archive(), "job.json": json.dumps(job).encode()})
        self._start()

    def _start(self) -> None:
        # If it runs already this does nothing: it holds a lock. What it has done it does not do again.
        words = [self._device.python, f"{self.folder}/runner.pyz", "serve", self.folder, f"{time.time():.6f}"]
        self._patience(lambda: self._link.start(words, log=f"{self.folder}/log"))

    def order(self, orders: Sequence[Order], plan: dict[str, Any], *, max_held_bytes: int, max_batch_bytes: int) -> int:
        """Send visits with the models that are not there yet; how many of them, from the first on.

        What is beyond ``max_held_bytes`` is deleted there after its visit. No more are sent than have new models of
        ``max_batch_bytes`` together, but at least one.
        """
        files: dict[str, bytes] = {}
        lines: list[dict[str, Any]] = []
        self._batches += 1
        for order in orders:
            go_on()
            lines.append(self._line(order, files, max_held_bytes) | plan)
            if sum(map(len, files.values())) >= max_batch_bytes:
                break
        text = "".join(json.dumps(line) + "\n" for line in [*lines, {"count": len(lines)}])
        # Last, so that all models are there when the runner sees it.
        self._put({**files, f"orders-{self._batches:04d}.jsonl": text.encode()})
        return len(lines)

    def _line(self, order: Order, files: dict[str, bytes], max_held_bytes: int) -> dict[str, Any]:
        key, keep = order.model.key, True
        if key in self._files:
            file, digest = self._files[key]
        else:
            content = order.model.content()
            digest = hashlib.sha256(content).hexdigest()
            keep = self.held_bytes + len(content) <= max_held_bytes
            # A new name each time: a file that was sent before may be in use just now.
            name = digest[:24] if keep else f"once-{len(files)}"
            file = f"models/{name}-{self._batches}.{self._setting.engine.file_format}"
            files[file] = content
            if keep:
                self.held_bytes += len(content)
                self._files[key] = file, digest
            if order.model.feed is not None and order.model.feed.values:
                files[values_file(file)] = order.model.feed.values
        self._ordered[order.visit] = file
        line = {"id": order.visit, "file": file, "sha256": digest, "keep": keep}
        if order.model.feed is not None:
            line["inputs"] = [one.model_dump(mode="json") for one in order.model.feed.inputs]
            line["entry"] = None if order.model.feed.entry is None else order.model.feed.entry._asdict()
        return line

    def forget(self, order: Order) -> str:
        """Use the file no more that a visit was to be made with, which may be damaged: the next one sends another.

        Returns:
            Its path there, which no other file has.
        """
        file = self._ordered[order.visit]
        if self._files.get(order.model.key, ("", ""))[0] == file:
            del self._files[order.model.key]
        return f"{self.folder}/{file}"

    def _put(self, files: dict[str, bytes]) -> None:
        there = {f"{self.folder}/{name}": content for name, content in files.items()}
        self._patience(lambda: self._link.put(there))

    def poll(self) -> list[wire.Message]:
        """What the runner has written since the last call.

        Raises:
            DeviceError: It is nothing that our runner writes.
            TransientDeviceError: The link stayed broken.
        """
        limit = wire.MAX_LINE_BYTES
        part = self._patience(lambda: self._link.read(f"{self.folder}/out.jsonl", self._reader.offset, max_bytes=limit))
        return self._reader.messages(part)

    def finish(
        self, keep: Callable[[wire.Visit], None], *, beat_s: float, silence_s: float, limit_s: float = math.inf
    ) -> bool:
        """End it after the visit in progress, keep what it still has to say, and delete it.

        Returns:
            Whether it is deleted; it is left behind where it did not end within ``limit_s``.

        Raises:
            DeviceError: It wrote nonsense.
            TransientDeviceError: The link stayed broken.
        """
        self._put({"stop": b""})
        began = heard = time.monotonic()
        insisted = False
        while time.monotonic() - heard < silence_s:
            if time.monotonic() - began > limit_s:
                return False
            if not insisted and time.monotonic() - heard > min(_LIVING_BEATS * beat_s, silence_s / 2):
                if not self.exists():
                    return True  # the device was restarted, and has lost what was on it
                self._insist()
                insisted = True
            messages = self.poll()
            for message in messages:
                if isinstance(message, wire.Visit):
                    keep(message)
            if any(isinstance(message, wire.End) for message in messages):
                break
            heard = time.monotonic() if messages else heard
            pause(_POLL_S)
        self.remove()
        return True

    def _insist(self) -> None:
        """Start a runner that seems to have died, so that it writes its end; a living one is not disturbed."""
        self._put({"runner.pyz": runner_archive()})
        self._start()

    def leave(self) -> None:
        """Ask for an end without waiting for it or insisting: what is measured until then is fetched another time."""
        with contextlib.suppress(SurroundingsError):
            self._link.put({f"{self.folder}/stop": b""})

    def remove(self) -> None:
        """Delete the folder, after the end."""
        self._patience(lambda: self._link.run(["rm", "-rf", "--", self.folder]))
