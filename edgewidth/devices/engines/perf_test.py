"""``onnxruntime_perf_test``, the native program of ONNX Runtime: what it is told and what it writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgewidth.devices.engines.engine import Runs, lead_to_provider
from edgewidth.devices.engines.native import NativeEngine, pinned, repeat
from edgewidth.devices.on_device.placement import of_onnx_log
from edgewidth.devices.on_device.visit import VisitError
from edgewidth.records.inputs import Fill
from edgewidth.records.measurement import Engine, EngineName, Launcher, Runtime

if TYPE_CHECKING:
    from edgewidth.devices.reach.transport import Transport

    Json = dict[str, Any]

_LOADED = re.compile(r"Session creation time cost: ?([\d.]+(?:e[+-]?\d+)?) s")


class PerfTest(NamedTuple):
    """ONNX Runtime's program at ``path`` on the device; it warms up with one run that it does not tell."""

    transport: Transport
    path: str
    threads: int
    affinity: Sequence[int]
    way: Json

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
        words = [*provider_words(self.way), *perf_test_words(model, result, self.threads, runs)]
        self.transport.run(["rm", "-f", result])  # the program appends
        text, own_s = repeat(self.transport, 1, pinned([self.path, *words], self.affinity), timeout_s)
        times = parse_perf_test(self.transport.get(result).decode(errors="replace"))
        loaded, provider = _LOADED.search(text), self.way.get("provider")
        return Runs(
            [],
            times,
            own_s,
            load_ns=round(1e9 * float(loaded[1])) if loaded else None,
            placed=of_onnx_log(text, f"{provider}ExecutionProvider") if provider else None,
        )


def perf_test_words(model: str, result: str, threads: int, runs: int) -> list[str]:
    """The arguments for ``runs`` back-to-back runs on random input."""
    return ["-m", "times", "-r", str(runs), "-x", str(threads), "-y", "1", "-I", model, result]


def provider_words(way: Json) -> list[str]:
    """The arguments that name the execution provider; verbose where it is not the processor, to tell what ran there."""
    provider, options = way.get("provider"), way.get("options") or {}
    if not provider:
        return ["-e", "cpu"]
    told = " ".join(f"{key}|{value}" for key, value in options.items())
    return ["-v", "-e", provider.lower(), *(["-i", told] if told else [])]


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
    lead_to_provider,
    PerfTest,
    "Build ONNX Runtime for its processor (https://onnxruntime.ai/docs/build); onnxruntime_perf_test is among "
    "what that makes. Then `onnxruntime_perf_test=push:/path/to/it`",
)
