#!/usr/bin/env python3
"""What happens to measurements when things break, on this machine as the device.

Small campaigns, each broken once at a random moment: the runner or the host program is killed with signal 9, the link
is cut, the device reboots (with or without its files), the disk of the host or of the device fills up, the output
turns to garbage. Where the program stops with an error it is simply called again, as a person would.

    injected    faults that took place while a campaign was running
    by_kind     of each kind
    lost        visits that were stored and are gone, and visits that are missing in the end
    doubled     visits that are stored twice, or were made twice although the first had been stored
    stopped     campaigns that ended with an error for a person to read, and went on when called again
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewidth.devices.device import Device, open_device
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.errors import DeviceError, SurroundingsError, TransientDeviceError
from edgewidth.records.measurement import Engine, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.records.measurement import Setting

KINDS = ("kill runner", "kill program", "cut", "reboot", "reboot without files", "host disk", "device disk", "garbage")
POLICY = Policy(
    rounds=4, visit_ms=15, warmup_min_ms=2, warmup_max_ms=15, remeasure=0, silence_s=1.5, patience_s=1, retry_s=0.02
)
CALLS = 4
"""A person calls again this often at most."""


def one_layer(width: int) -> bytes:
    """A convolution of this width."""
    kernel = numpy_helper.from_array(np.zeros((width, 16, 3, 3), np.float32), "kernel")
    shapes = [("input", [1, 16, 32, 32]), ("output", [1, width, 32, 32])]
    source, target = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    node = helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "one", [source], [target], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


MODELS = [Model(str(8 * i), partial(one_layer, 8 * i)) for i in range(1, 6)]


class Faulty:
    """The transport of this machine with a fault that strikes at a random call; keeps what runners wrote."""

    def __init__(self, inner: Any, strike: Callable[[str], None], kept: list[bytes]) -> None:
        self._inner, self._strike, self._kept = inner, strike, kept

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in {"put", "read", "start", "run"}:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            self._strike(name)
            if name == "run" and args[0][0] == "rm":
                self._kept.append(self._inner.read(f"{args[0][-1]}/out.jsonl", 0, max_bytes=10**8))
            return attribute(*args, **kwargs)

        return call


class Fault:
    """One fault of a kind, at the ``at``-th reading of output; ``done`` once it took place."""

    def __init__(self, kind: str, at: int, folder: Path) -> None:
        self.kind, self.at, self.folder, self.done = kind, at, folder, False
        self._reads = self._broken_calls = 0

    def __call__(self, name: str) -> None:
        """Called before every call over the link."""
        self._reads += name == "read"
        if self._broken_calls:
            self._broken_calls -= 1
            raise TransientDeviceError("The device does not answer.")
        if not self.done and self._reads >= self.at and (self.kind != "device disk" or name == "put"):
            self.done = self._strike()

    def _strike(self) -> bool:
        outputs = sorted(self.folder.glob("session-*/out.jsonl"), key=lambda path: path.stat().st_mtime)
        if not outputs or b'"visit"' not in outputs[-1].read_bytes():
            return False
        if self.kind == "device disk":
            self.done = True
            raise DeviceError("models could not be written: no space left on device.")
        if self.kind == "garbage":
            with outputs[-1].open("ab") as stream:
                stream.write(os.urandom(40) + b"\n")
            return True
        if self.kind != "cut":
            kill_runner(outputs[-1])
        if self.kind == "reboot without files":
            outputs[-1].parent.rename(self.folder / f"forgotten-{outputs[-1].parent.name}")
        if self.kind != "kill runner":
            self._broken_calls = 3
        return True


def kill_runner(output: Path) -> None:
    """Signal 9 to the runner that writes this, and to its child."""
    hellos = [line for line in output.read_bytes().splitlines() if line.startswith(b'{"t": "hello"')]
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.killpg(json.loads(hellos[-1])["pid"], signal.SIGKILL)


def profile(folder: Path) -> DeviceProfile:
    """This machine, with its files in a folder of the campaign."""
    return DeviceProfile(name="local", transport="local", workdir=str(folder / "device"))


def setting_of(device: Device) -> Setting:
    """What is measured here."""
    return device.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)


def program(folder: str) -> None:
    """A host program that is killed from outside."""
    where = Path(folder)
    with open_device(profile(where)) as device, MeasurementStore(where / "m.sqlite") as store:
        measure(device, setting_of(device), MODELS, store, policy=POLICY)


def kill_program(folder: Path, after_s: float) -> bool:
    """Start a host program and kill it; whether it was still at work."""
    victim = multiprocessing.get_context("spawn").Process(target=program, args=(str(folder),))
    victim.start()
    deadline = time.monotonic() + 60
    while not list((folder / "device").glob("session-*/out.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after_s)
    alive = victim.is_alive()
    victim.kill()
    victim.join()
    return alive


def fill_later(store: MeasurementStore, after_s: float, fault: Fault) -> threading.Timer:
    """Let the file of measurements grow no more after a while, as on a full disk."""

    def fill() -> None:
        with store._lock:  # noqa: SLF001 - the disk of the host is filled behind the store's back
            [pages] = store._connection.execute("PRAGMA page_count").fetchone()  # noqa: SLF001 - as above
            store._connection.execute(f"PRAGMA max_page_count = {pages}")  # noqa: SLF001 - as above
        fault.done = True

    timer = threading.Timer(after_s, fill)
    timer.start()
    return timer


class Tally:
    """What is counted over all campaigns."""

    def __init__(self) -> None:
        self.by_kind: Counter[str] = Counter()
        self.lost = self.doubled = self.stopped = 0

    def campaign(self, kind: str, rng: random.Random) -> None:
        """One campaign with one fault."""
        with tempfile.TemporaryDirectory(prefix="edgewidth-faults-") as name:
            folder, kept = Path(name), list[bytes]()
            fault = Fault(kind, rng.randint(1, 12), folder / "device")
            if kind == "kill program":
                fault.done = kill_program(folder, rng.uniform(0.0, 0.8))
            before: set[str] = set()
            for _ in range(CALLS):
                try:
                    self._call(folder, fault, kept, rng, before)
                    break
                except SurroundingsError as error:
                    self.stopped += 1
                    print(f"  {error.message}", file=sys.stderr)
            self._judge(folder, kept)
            self.by_kind[kind] += fault.done

    def _call(self, folder: Path, fault: Fault, kept: list[bytes], rng: random.Random, before: set[str]) -> None:
        with open_device(profile(folder)) as device, MeasurementStore(folder / "m.sqlite") as store:
            setting = setting_of(device)
            stored = {visit for visit, _ in store.named_visits(setting)}
            self.lost += len(before - stored)
            strikes = fault.kind not in {"kill program", "host disk"}
            faulty = device._replace(transport=Faulty(device.transport, fault, kept)) if strikes else device
            timer = None
            if fault.kind == "host disk" and not fault.done:
                timer = fill_later(store, rng.uniform(0.3, 1.0), fault)
            try:
                measure(faulty, setting, MODELS, store, policy=POLICY)
            finally:
                if timer is not None:
                    timer.cancel()
                before |= {visit for visit, _ in store.named_visits(setting)}

    def _judge(self, folder: Path, kept: list[bytes]) -> None:
        with open_device(profile(folder)) as device, MeasurementStore(folder / "m.sqlite") as store:
            visits = store.named_visits(setting_of(device))
        counts = Counter(visit.model for _, visit in visits)
        self.lost += sum(max(0, POLICY.rounds - counts[model.key]) for model in MODELS)
        self.doubled += sum(max(0, counts[model.key] - POLICY.rounds) for model in MODELS)
        self.doubled += len(visits) - len({visit.started_s for _, visit in visits})
        for output in kept:
            self.doubled += sum(count - 1 for count in made_in(output).values())


def made_in(output: bytes) -> Counter[str]:
    """How often each visit was made, by what one session's runners wrote."""
    made: Counter[str] = Counter()
    for line in output.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            if record["t"] == "visit":
                made[record["id"]] += 1
    return made


def main() -> None:
    """Break, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=64, help="how many to inject at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rng, tally = random.Random(options.seed), Tally()
    for number in range(2 * options.faults):  # some faults come too late to strike
        if tally.by_kind.total() >= options.faults:
            break
        kind = KINDS[number % len(KINDS)]
        print(f"{tally.by_kind.total() + 1}. {kind}", file=sys.stderr)
        tally.campaign(kind, rng)
    result = {
        "injected": tally.by_kind.total(),
        "by_kind": dict(tally.by_kind),
        "lost": tally.lost,
        "doubled": tally.doubled,
        "stopped": tally.stopped,
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
