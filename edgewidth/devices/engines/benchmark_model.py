"""``benchmark_model``, the native program of TFLite and LiteRT: what it is told and what it prints.

It prints statistics only, so it is asked for three runs at a time: their smallest, their largest and their mean (or
median) tell all three.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from edgewidth.devices.engines.engine import LEAST_RUNS, Runs, options_of
from edgewidth.devices.engines.native import NativeEngine, pinned, repeat
from edgewidth.devices.on_device.placement import of_native_log
from edgewidth.devices.on_device.visit import VisitError
from edgewidth.devices.reach.process import failure_line
from edgewidth.records.inputs import Fill
from edgewidth.records.measurement import Accelerator, Engine, EngineName, Launcher, Runtime

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport

    Json = dict[str, Any]


_BUILT_IN = ("nnapi", "hexagon", "coreml")
"""Delegates that are switched on by name."""
_CACHE = "--delegate_serialize_dir="
_LOADED = re.compile(r"Inference timings in us: Init: ([\d.]+(?:e[+-]?\d+)?)")


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
        if self.runs not in range(1, LEAST_RUNS + 1) or not self._fit():
            raise VisitError(f"benchmark_model printed statistics that cannot be: {self}")
        middle = self.median if self.median is not None else round(self.runs * self.mean - self.low - self.high)
        inner = [min(max(middle, self.low), self.high)] if self.runs == LEAST_RUNS else []
        values = [self.low] if self.runs == 1 else [self.low, *inner, self.high]
        return [round(1000 * value) for value in values]

    def _fit(self) -> bool:
        """Whether the mean lies between the extremes, as far as its six printed digits tell."""
        slack = 1 + 1e-5
        return 0 <= self.low <= self.mean * slack and self.mean <= self.high * slack


class BenchmarkModel(NamedTuple):
    """TFLite's program at ``path`` on the device."""

    transport: Transport
    path: str
    threads: int
    affinity: Sequence[int]
    way: Json

    def invoke(
        self, model: str, runs: int, *, timeout_s: float, inputs: Sequence[Json] = (), entry: Json | None = None
    ) -> Runs:
        """See ``Program``; each process warms up for as many runs as it then measures."""
        there = accelerator_words(self.way, cache=f"{model}.cache")
        if any(word.startswith(_CACHE) for word in there):
            self.transport.run(["mkdir", "-p", f"{model}.cache"])
        words = [self.path, *benchmark_model_words(model, self.threads), *input_words(inputs), *entry_words(entry)]
        words = pinned([*words, *there], self.affinity)
        times = -(-runs // LEAST_RUNS)
        text, own_s = repeat(self.transport, times, words, timeout_s)
        pairs = parse_benchmark_model(text)
        if len(pairs) != times:
            raise VisitError(f"benchmark_model told {len(pairs)} results of {times}: {failure_line(text.encode())}")
        first = [value for warm_up, _ in pairs for value in warm_up.values_ns()]
        measured = [value for _, statistics in pairs for value in statistics.values_ns()]
        on_cpu = Accelerator(self.way["accelerator"]).is_cpu
        loaded = _LOADED.search(text)
        return Runs(
            first,
            measured,
            own_s,
            load_ns=round(1e3 * float(loaded[1])) if loaded else None,
            placed=None if on_cpu else of_native_log(text),
        )


def benchmark_model_words(model: str, threads: int) -> list[str]:
    """The arguments of one short invocation; the zeros make the counts exact."""
    return [
        f"--graph={model}",
        f"--num_threads={threads}",
        f"--num_runs={LEAST_RUNS}",
        "--min_secs=0",
        f"--warmup_runs={LEAST_RUNS}",
        "--warmup_min_secs=0",
    ]


def accelerator_words(way: Json, *, cache: str) -> list[str]:
    """The arguments that lead to an accelerator. ``cache`` is a folder for what a delegate compiles.

    Each process loads the model anew, so that a delegate that compiles it would do so for every few runs.
    """
    accelerator, delegate, options = way["accelerator"], way.get("delegate"), way.get("options") or {}
    if accelerator == "cpu":
        return []
    if accelerator == "cpu-builtin":
        return ["--use_xnnpack=false"]
    cached = [f"{_CACHE}{cache}", "--delegate_serialize_token=model"]
    if delegate in _BUILT_IN:
        own = [f"--{key}={value}" for key, value in options.items()]
        return [f"--use_{delegate}=true", *own, *(cached if delegate == "nnapi" else [])]
    if delegate is None:
        return ["--use_gpu=true", *cached]
    told = ";".join(f"{key}:{value}" for key, value in options.items())
    return [f"--external_delegate_path={delegate}", *([f"--external_delegate_options={told}"] if told else [])]


def _lead(profile: DeviceProfile, accelerator: Accelerator) -> Json | None:
    """A GPU needs no delegate beside the built-in one; an NPU has Android's own where none is named."""
    section = profile.section(accelerator)
    options = options_of(section.delegate_options)
    if accelerator.is_cpu:
        return {}
    if section.delegate is None and accelerator is Accelerator.GPU:
        return {}
    return {"delegate": section.delegate or "nnapi", "options": options}


def entry_words(entry: Json | None) -> list[str]:
    """The argument that names what is to be run.

    Raises:
        VisitError: It is a graph without a signature.
    """
    if entry is None:
        return []
    if not entry["is_signature"]:
        raise VisitError(f"{entry['name']} is no signature, and benchmark_model enters nothing else", final=True)
    return [f"--signature_to_run_for={entry['name']}"]


def input_words(inputs: Sequence[Json]) -> list[str]:
    """The arguments that give inputs their shapes and, where these are to be zeros, their values.

    Raises:
        VisitError: It has no words for them.
    """
    if any(one["values"] == Fill.GIVEN for one in inputs):
        raise VisitError("benchmark_model cannot be given values of an .npz", final=True)
    told = [one for one in inputs if one["opened"] or one["values"] == Fill.ZEROS]
    if not told:
        return []
    zeros = [f"{one['name']},0,0" for one in inputs if one["values"] == Fill.ZEROS]
    if unsaid := [one["name"] for one in inputs if "," in one["name"] or (zeros and ":" in one["name"])]:
        raise VisitError(f"benchmark_model has no words for an input of the name {unsaid[0]}", final=True)
    words = [
        "--input_layer=" + ",".join(one["name"] for one in inputs),
        "--input_layer_shape=" + ":".join(",".join(map(str, one["shape"])) for one in inputs),
    ]
    return [*words, "--input_layer_value_range=" + ":".join(zeros)] if zeros else words


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


BENCHMARK_MODEL = NativeEngine(
    EngineName.BENCHMARK_MODEL,
    Engine(runtime=Runtime.LITERT, launcher=Launcher.BENCHMARK_MODEL),
    _lead,
    BenchmarkModel,
    "Download a prebuilt benchmark_model for its processor (https://ai.google.dev/edge/litert/models/measurement, "
    "under “native benchmark binary”), then `benchmark_model=push:/path/to/it`",
)
