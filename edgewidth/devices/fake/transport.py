"""A device that is not there: its latencies are known exactly, and its noise comes from a seed.

It speaks the real runner's protocol (the runner's own session code serves it, in a thread), but a visit takes no
time: the clock is virtual. The truth is a sum over the model's operators, each a function of its own input and
output shape, as on a device whose kernels work on groups of eight channels.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgewidth.devices.fake.operators import Operator, read_operators
from edgewidth.devices.on_device import runner
from edgewidth.devices.on_device.visit import VisitError
from edgewidth.devices.reach.local import LocalTransport
from edgewidth.errors import DeviceError, InputError
from edgewidth.files import temporary_folder
from edgewidth.records.measurement import DeviceFacts, DeviceState, Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress

_GROUP = 8
_VERSION = "1.0"


class FakeNoise(NamedTuple):
    """What stands between the truth and a measurement: shares of the latency, or seconds of the device's clock."""

    run: float = 0.01
    """The standard deviation of the logarithm from run to run."""
    visit: float = 0.01
    """The standard deviation of the logarithm from visit to visit."""
    session: float = 0.0
    """The same from session to session: each finds its files at other places in memory."""
    drift: float = 0.05
    """The share by which everything takes longer in a slow stretch."""
    drift_every_s: float = 200.0
    """The mean time between two slow stretches."""
    drift_lasts_s: tuple[float, float] = (20.0, 80.0)
    """The shortest and the longest slow stretch."""
    outliers: float = 0.01
    """The share of runs that take half as long again."""
    heat: float = 0.0
    """The share by which everything takes longer once the device is hot."""
    heats_after_s: float = 60.0
    """After how long it is hot."""


SILENT_NOISE = FakeNoise(run=0.0, visit=0.0, drift=0.0, outliers=0.0)
"""No noise at all: every measurement is the truth."""


def latency_ms(operators: Sequence[Operator]) -> float:
    """The truth: what the fake device needs for these operators, in milliseconds."""
    return 0.02 + sum(operator_ms(operator) for operator in operators)


def operator_ms(operator: Operator) -> float:
    """One operator: multiplications in groups of eight channels, bytes moved, and a call."""
    wide_in, wide_out = (-(-width // _GROUP) * _GROUP for width in (operator.in_channels, operator.out_channels))
    pixels = operator.out_height * operator.out_width
    per_pixel = {
        "conv": operator.taps * wide_in * wide_out,
        "dense": wide_in * wide_out,
        "depthwise": operator.taps * wide_out,
    }
    macs = pixels * per_pixel.get(operator.kind, 0)
    moved = operator.in_height * operator.in_width * wide_in + pixels * wide_out
    rate = 1.5e6 if operator.kind == "depthwise" else 8e6  # multiply-accumulates per millisecond
    return 0.002 + math.sqrt(operator.bytes_per_value) * (macs / rate + moved / 4e6)


class FakeTransport(LocalTransport):
    """The fake device. Its files are in a folder of this machine.

    Args:
        folder: Where it keeps them.
        seed: Of all its noise.
        noise: How noisy it is.
        state: What it says of itself, by its own clock in seconds; None: nothing remarkable.
        pace: Real seconds that a second of its clock takes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        noise: FakeNoise = FakeNoise(),  # noqa: B008 - immutable
        state: Callable[[float], DeviceState] | None = None,
        pace: float = 0.0,
    ) -> None:
        super().__init__(folder, "python3")
        self._board = _Board(seed, noise, state or (lambda _: DeviceState()), pace)
        self._temporary = ExitStack()

    @classmethod
    def open(cls, profile: DeviceProfile, progress: Progress) -> FakeTransport:
        """A fake device with moderate noise, in a folder that goes when it is closed unless the profile names one."""
        del progress
        stack = ExitStack()
        folder = Path(profile.workdir) if profile.workdir else stack.enter_context(temporary_folder())
        transport = cls(folder)
        transport._temporary = stack
        return transport

    @property
    def now_s(self) -> float:
        """The device's own clock: the seconds that it has measured for."""
        return self._board.now_s

    def facts(self) -> DeviceFacts:
        """What it pretends to be."""
        versions = {runtime.value: _VERSION for runtime in Runtime}
        return DeviceFacts(model="fake device", architecture="none", cores=4, python="3.11.0", runtimes=versions)

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Serve a session in a thread instead of a process; nothing else can be started here."""
        if len(argv) != 5 or argv[2] != "serve":
            raise DeviceError(f"The fake device only runs the runner, not {argv[0]}.")
        threading.Thread(target=self._serve, args=(Path(argv[3]), float(argv[4])), name=log, daemon=True).start()

    def _serve(self, folder: Path, started_s: float) -> None:
        # As on a real device, a session whose folder is gone dies at once, and who asks for it finds nothing.
        with contextlib.suppress(FileNotFoundError):
            runner.Session(folder, started_s, lambda _: self._board.session(), lambda: self._board.now_s).serve()

    def close(self) -> None:
        """Let go of it, and of its folder if that was its own."""
        super().close()
        self._temporary.close()


class _Board:
    """Virtual time, and times drawn for every visit."""

    def __init__(self, seed: int, noise: FakeNoise, state: Callable[[float], DeviceState], pace: float) -> None:
        self._rng, self._noise, self._state, self._pace = np.random.default_rng(seed), noise, state, pace
        self.now_s, self._own = 0.0, 1.0
        self._slow_from_s = self._slow_until_s = 0.0
        self._next_stretch()

    def session(self) -> Callable[[str, Mapping[str, Any], Callable[[], None]], dict[str, Any]]:
        """What measures in a session of its own."""
        self._own = float(np.exp(self._noise.session * self._rng.standard_normal()))
        return self.measure

    def measure(self, path: str, plan: Mapping[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
        """What ``visit.visit`` returns of a real device."""
        del beat
        try:
            truth_ns = 1e6 * latency_ms(read_operators(Path(path).read_bytes()))
        except InputError as error:
            raise VisitError(error.message) from error
        start_s = self.now_s
        self.now_s += 0.02  # loading
        before, visit = self._state(self.now_s), self._own * np.exp(self._noise.visit * self._rng.standard_normal())
        # The first run of a model is slow; the rest of the warm-up here is as fast as what follows.
        warmup = self._runs(truth_ns * visit, 1.5 * plan["warmup_min_ns"], 2, plan)
        warmup[0] *= 3
        runs = self._runs(truth_ns * visit, plan["visit_ns"], plan["min_runs"], plan)
        time.sleep(self._pace * (self.now_s - start_s))
        return {
            "warmup_ns": warmup.astype(int).tolist(),
            "runs_ns": runs.astype(int).tolist(),
            "before": before.model_dump(),
            "after": self._state(self.now_s).model_dump(),
            "own_s": float(warmup.sum() + runs.sum()) / 1e9,
        }

    def _runs(self, mean_ns: float, total_ns: float, least: int, plan: Mapping[str, Any]) -> NDArray[np.float64]:
        """As many runs as fill ``total_ns``, one after the other; the clock goes on by what they take."""
        noise, rng = self._noise, self._rng
        slowed_ns = mean_ns * self._slowness()
        count = int(min(max(total_ns / slowed_ns, least), plan["max_runs"]))
        times = slowed_ns * np.exp(noise.run * rng.standard_normal(count))
        times[rng.random(count) < noise.outliers] *= 1.5
        self.now_s += float(times.sum()) / 1e9
        return times

    def _slowness(self) -> float:
        """1, or more in a slow stretch."""
        while self.now_s > self._slow_until_s:
            self._next_stretch()
        drift = self._noise.drift * (self.now_s >= self._slow_from_s)
        return (1 + drift) * (1 + self._noise.heat * (self.now_s >= self._noise.heats_after_s))

    def _next_stretch(self) -> None:
        self._slow_from_s = self._slow_until_s + float(self._rng.exponential(self._noise.drift_every_s))
        self._slow_until_s = self._slow_from_s + float(self._rng.uniform(*self._noise.drift_lasts_s))
