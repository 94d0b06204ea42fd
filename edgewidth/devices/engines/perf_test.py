"""``onnxruntime_perf_test``, the native program of ONNX Runtime: what it is told and what it writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgewidth.devices.engines.engine import Runs
from edgewidth.devices.engines.native import NativeEngine, pinned, repeat
from edgewidth.devices.on_device.visit import VisitError
from edgewidth.records.inputs import Fill
from edgewidth.records.measurement import Engine, EngineName, Launcher, Runtime

if TYPE_CHECKING:
    from edgewidth.devices.reach.transport import Transport

    Json = dict[str, Any]


class PerfTest(NamedTuple):
    """ONNX Runtime's program at ``path`` on the device; it warms up with one run that it does not tell."""

    transport: Transport
    path: str
    threads: int
    affinity: Sequence[int]

    def invoke(
        self, model: str, runs: int, *, timeout_s: float, inputs: Sequence[Json] = (), entry: Json | None = None
    ) -> Runs:
        """See ``Program``."""
        del entry  # there is one
        for one in inputs:
            if one["values"] == Fill.GIVEN or (one["opened"] and set(one["shape"]) != {1}):
                raise VisitError(
                    f"onnxruntime_perf_test makes up its inputs, and takes open sizes for 1, so that {one['name']} "
                    "cannot be given",
                    final=True,
                )
        result = f"{model}.csv"
        words = pinned([self.path, *perf_test_words(model, result, self.threads, runs)], self.affinity)
        self.transport.run(["rm", "-f", result])  # the program appends
        _, own_s = repeat(self.transport, 1, words, timeout_s)
        return Runs([], parse_perf_test(self.transport.get(result).decode(errors="replace")), own_s)


def perf_test_words(model: str, result: str, threads: int, runs: int) -> list[str]:
    """The arguments for ``runs`` back-to-back runs on random input."""
    return ["-e", "cpu", "-m", "times", "-r", str(runs), "-x", str(threads), "-y", "1", "-I", model, result]


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


PERF_TEST = NativeEngine(
    EngineName.ONNXRUNTIME,
    Engine(runtime=Runtime.ONNXRUNTIME, launcher=Launcher.PERF_TEST),
    PerfTest,
    "Build ONNX Runtime for its processor (https://onnxruntime.ai/docs/build); onnxruntime_perf_test is among "
    "what that makes. Then `onnxruntime_perf_test=push:/path/to/it`",
)
