"""Native benchmark programs, for devices without Python: what they are told and what they print.

``benchmark_model`` (TFLite and LiteRT) prints statistics only, so it is asked for three runs at a time: their
smallest, their largest and their mean (or median) tell all three. ``onnxruntime_perf_test`` writes down every run.
"""

from __future__ import annotations

import re
import shlex
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from edgewidth.devices.on_device.runner import VisitError
from edgewidth.devices.reach.adb_client import last_line
from edgewidth.errors import ProfileError
from edgewidth.records.measurement import Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport

RUNS_AT_A_TIME = 3
"""As many as statistics tell exactly."""
_PUSH = "push:"
_WHERE_FROM = {
    Runtime.BENCHMARK_MODEL: (
        "Download a prebuilt benchmark_model for its processor (https://ai.google.dev/edge/litert/models/measurement, "
        "under “native benchmark binary”), then --set benchmark_model=push:/path/to/it"
    ),
    Runtime.ONNXRUNTIME: (
        "Build ONNX Runtime for its processor (https://onnxruntime.ai/docs/build); onnxruntime_perf_test is among "
        "what that makes. Then --set onnxruntime_perf_test=push:/path/to/it"
    ),
}
_REPEAT = 'n=$1; shift; while [ "$n" -gt 0 ]; do "$@" 2>&1 || exit; n=$((n-1)); done; times'
"""Runs its arguments behind the first as often as the first says; prints processor times at the end (POSIX)."""


class Runs(NamedTuple):
    """Raw nanoseconds of inferences, and the processor seconds that they took with everything around them.

    ``first_ns`` are those that warmed a process up. Runs that were told together stand in rising order.
    """

    first_ns: list[int]
    runs_ns: list[int]
    own_s: float


class Statistics(NamedTuple):
    """A line of ``benchmark_model``, in microseconds; None: this build does not print it."""

    runs: int
    low: float
    high: float
    mean: float
    median: float | None = None

    def values_ns(self) -> list[int]:
        """Every single value, in rising order.

        Raises:
            VisitError: There are more than these statistics tell, or they contradict each other.
        """
        if self.runs not in range(1, RUNS_AT_A_TIME + 1) or not self._fit():
            raise VisitError(f"benchmark_model printed statistics that cannot be: {self}")
        middle = self.median if self.median is not None else round(self.runs * self.mean - self.low - self.high)
        inner = [min(max(middle, self.low), self.high)] if self.runs == RUNS_AT_A_TIME else []
        values = [self.low] if self.runs == 1 else [self.low, *inner, self.high]
        return [round(1000 * value) for value in values]

    def _fit(self) -> bool:
        """Whether the mean lies between the extremes, as far as its six printed digits tell."""
        slack = 1 + 1e-5
        return 0 <= self.low <= self.mean * slack and self.mean <= self.high * slack


class Program(Protocol):
    """A benchmark program on a device."""

    def invoke(self, model: str, runs: int, *, timeout_s: float) -> Runs:
        """Run a model about so often, back to back.

        Raises:
            VisitError: The program failed, or printed what cannot be understood.
            TransientDeviceError: The link failed.
        """


class BenchmarkModel(NamedTuple):
    """TFLite's program at ``path`` on the device."""

    transport: Transport
    path: str
    threads: int
    affinity: Sequence[int]

    def invoke(self, model: str, runs: int, *, timeout_s: float) -> Runs:
        """See ``Program``; each process warms up for as many runs as it then measures."""
        words = _pinned([self.path, *benchmark_model_words(model, self.threads)], self.affinity)
        times = -(-runs // RUNS_AT_A_TIME)
        text, own_s = _repeat(self.transport, times, words, timeout_s)
        pairs = parse_benchmark_model(text)
        if len(pairs) != times:
            raise VisitError(f"benchmark_model told {len(pairs)} results of {times}: {last_line(text.encode())}")
        first = [value for warm_up, _ in pairs for value in warm_up.values_ns()]
        return Runs(first, [value for _, measured in pairs for value in measured.values_ns()], own_s)


class PerfTest(NamedTuple):
    """ONNX Runtime's program at ``path`` on the device; it warms up with one run that it does not tell."""

    transport: Transport
    path: str
    threads: int
    affinity: Sequence[int]

    def invoke(self, model: str, runs: int, *, timeout_s: float) -> Runs:
        """See ``Program``."""
        result = f"{model}.csv"
        words = _pinned([self.path, *perf_test_words(model, result, self.threads, runs)], self.affinity)
        self.transport.run(["rm", "-f", result])  # the program appends
        _, own_s = _repeat(self.transport, 1, words, timeout_s)
        return Runs([], parse_perf_test(self.transport.get(result).decode(errors="replace")), own_s)


def benchmark_model_words(model: str, threads: int) -> list[str]:
    """The arguments of one short invocation; the zeros make the counts exact."""
    return [
        f"--graph={model}",
        f"--num_threads={threads}",
        f"--num_runs={RUNS_AT_A_TIME}",
        "--min_secs=0",
        f"--warmup_runs={RUNS_AT_A_TIME}",
        "--warmup_min_secs=0",
    ]


def perf_test_words(model: str, result: str, threads: int, runs: int) -> list[str]:
    """The arguments for ``runs`` back-to-back runs on random input."""
    return ["-e", "cpu", "-m", "times", "-r", str(runs), "-x", str(threads), "-y", "1", "-I", model, result]


def parse_benchmark_model(text: str) -> list[tuple[Statistics, Statistics]]:
    """The warm-up's and the measured runs' statistics of each invocation in the output.

    All formats since 2018: with ``first=`` or without, with percentiles or without, ``curr=`` before ``count=``,
    ``(all same)``, numbers as ``1.3e+06``, lines behind ``INFO:`` or a log's time stamp.

    Raises:
        VisitError: A line of statistics lacks what all builds print.
    """
    lines = [line for line in text.splitlines() if re.search(r"\bcount=\d", line)]
    found = [_statistics(line) for line in lines]
    return list(zip(found[::2], found[1::2], strict=False))


def _statistics(line: str) -> Statistics:
    fields = {name: float(value) for name, value in re.findall(r"\b(\w+)=([\d.]+(?:e[+-]?\d+)?)", line)}
    try:
        if "min" not in fields:  # one run, or all the same
            return Statistics(int(fields["count"]), fields["curr"], fields["curr"], fields["curr"])
        return Statistics(
            int(fields["count"]), fields["min"], fields["max"], fields["avg"], median=fields.get("median")
        )
    except KeyError as error:
        raise VisitError(f"benchmark_model printed no {error.args[0]}: {line.strip()[:120]}") from error


def parse_perf_test(text: str) -> list[int]:
    """The nanoseconds of each run in a result file.

    Lines are ``model,seconds,peak memory,cpu %,run``; since late 2025 ``model,seconds to submit,seconds in
    all,peak memory,cpu %,run``. The model's name may hold commas.

    Raises:
        VisitError: There is no run, or a line is something else.
    """
    pattern = re.compile(r"(?:.*,)?[^,]*?,([\d.e+-]+),\d+,\d+,\d+")
    found = [pattern.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    try:
        times = [round(1e9 * float(match[1])) for match in found if match is not None]
    except (ValueError, OverflowError) as error:
        raise VisitError(f"onnxruntime_perf_test wrote what is no time: {error}") from error
    if not times or None in found:
        raise VisitError(f"onnxruntime_perf_test wrote what cannot be understood: {text.strip()[:120]!r}")
    return times


def is_native(profile: DeviceProfile, runtime: Runtime) -> bool:
    """Whether this runtime is a program of its own on that device, not a Python package."""
    return runtime in _given(profile)


def where_from(runtime: Runtime) -> str:
    """Where a missing program comes from."""
    return _WHERE_FROM[runtime]


def find_programs(transport: Transport, profile: DeviceProfile) -> dict[str, str]:
    """The versions of the native programs that the profile names and the device has, by runtime.

    The programs do not tell a version, so a digest of the program stands for it. Those that are to be pushed are.

    Raises:
        ProfileError: A program to be pushed is not on this machine.
        DeviceError: It cannot be copied.
    """
    found = {}
    for runtime, given in _given(profile).items():
        if given.startswith(_PUSH):
            _push(transport, runtime, Path(given.removeprefix(_PUSH)))
        digest = _digest(transport, program_path(transport, profile, runtime))
        if digest is not None:
            found[runtime.value] = f"sha256:{digest[:16]}"
    return found


def program_path(transport: Transport, profile: DeviceProfile, runtime: Runtime) -> str:
    """Where the program is on the device."""
    given = _given(profile)[runtime]
    return f"{transport.workdir}/programs/{runtime.value}" if given.startswith(_PUSH) else given


def program(transport: Transport, profile: DeviceProfile, runtime: Runtime, threads: int) -> Program:
    """The program that measures for this runtime."""
    kind = BenchmarkModel if runtime is Runtime.BENCHMARK_MODEL else PerfTest
    return kind(transport, program_path(transport, profile, runtime), threads, profile.affinity)


def _given(profile: DeviceProfile) -> dict[Runtime, str]:
    named = {
        Runtime.BENCHMARK_MODEL: profile.benchmark_model,
        Runtime.ONNXRUNTIME: profile.onnxruntime_perf_test,
    }
    return {runtime: path for runtime, path in named.items() if path is not None}


def _push(transport: Transport, runtime: Runtime, source: Path) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ProfileError(
            f"The program {source}, to be pushed to the device, could not be read: {error.strerror}.",
            remedy=where_from(runtime),
        ) from error
    target = f"{transport.workdir}/programs/{runtime.value}"
    if _digest(transport, target) != sha256(content).hexdigest():
        transport.put({target: content})
    transport.run(["chmod", "755", target])


def _digest(transport: Transport, path: str) -> str | None:
    done = transport.run(["sha256sum", path], timeout_s=60.0)
    found = re.match(rb"\\?([0-9a-f]{64})\s", done.stdout)  # a backslash stands before names that need quoting
    return found[1].decode() if done.returncode == 0 and found else None


def _pinned(words: Sequence[str], affinity: Sequence[int]) -> list[str]:
    """The command, held on some processors; ``taskset`` of toybox and of util-linux both take a bare hex mask."""
    mask = sum(1 << processor for processor in affinity)
    return ["taskset", f"{mask:x}", *words] if mask else list(words)


def _repeat(transport: Transport, times: int, words: Sequence[str], timeout_s: float) -> tuple[str, float]:
    """What a command printed on both its streams, run so often, and the processor seconds that it took."""
    done = transport.run(["sh", "-c", _REPEAT, "sh", str(times), *words], timeout_s=timeout_s)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        reason = last_line(done.stdout) or last_line(done.stderr) or "it says nothing"
        raise VisitError(f"{shlex.quote(words[0])} ended with {done.returncode}: {reason}")
    spent = [60 * int(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+)m([\d.]+)s", text)]
    return text, sum(spent[-2:])
