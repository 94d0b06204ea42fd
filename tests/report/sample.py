"""A run folder as the stages leave it, from the real MobileNet search space with plausible made-up numbers."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.costs import costs, layer_costs
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.widths import variables_of
from edgewidth.records.artifact import Artifact, Artifacts, Int8Accuracy, Quantisation
from edgewidth.records.budget import Budget, BudgetRequest
from edgewidth.records.judged import Judged, JudgedChoice
from edgewidth.records.losses import (
    BudgetDoubt,
    Coefficient,
    Correction,
    EvaluatedConfig,
    EvaluationPhase,
    EvaluationRound,
    HeldOutLosses,
    LossQuality,
    NarrowingStep,
    Rival,
    Rivals,
    UnaryLosses,
    VariableLosses,
)
from edgewidth.records.measurement import (
    DeviceFacts,
    DeviceState,
    Engine,
    LatencyEstimate,
    MeasurementWarning,
    Precision,
    Runtime,
    Setting,
    Statistic,
    Visit,
)
from edgewidth.records.provenance import Provenance
from edgewidth.records.run import DataFacts, RunRequest
from edgewidth.records.search import Certificate, Choice, FrontierPoint, RefineStep, SearchResult
from edgewidth.records.table import ConfigVisits, HeldOut, LatencyTable, TableEntry, TableQuality
from edgewidth.records.validation import ValidationReport
from edgewidth.report.compared import compared, render_comparison
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.report import report, report_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import Layer

BUDGET_MS = 10.0
HOSTILE = '<script>alert("x")</script>&amp;'


class Truth(NamedTuple):
    """The made-up device and task that every number of the sample follows."""

    space: SearchSpace
    rng: np.random.Generator
    hostile: str

    def latency_ms(self, config: ChannelConfig) -> float:
        """A Raspberry Pi's pace: an offset and so many multiply-accumulates per millisecond."""
        counted = costs(self.space, config)
        return 0.35 + counted.macs / 5.2e6 + counted.parameters / 2.2e6

    def unary(self, index: int, width: int) -> float:
        """What a narrow layer costs; the early ones matter more per channel."""
        variable = self.space.variables[index]
        scale = 0.012 + 0.02 * np.exp(-((index - 4) ** 2) / 18)
        return float(scale * (variable.base / width - variable.base / variable.choices[-1]))

    def loss(self, config: ChannelConfig) -> float:
        """Excess loss over the maximum network."""
        return sum(self.unary(i, width) for i, width in enumerate(config))


def make_truth(*, seed: int = 7, hostile: str = "", resolution: int = 96) -> Truth:
    """The sample's truth over the real search space."""
    space = search_space("mobilenet_v1", resolution=resolution, in_channels=3, num_classes=10)
    return Truth(space, np.random.default_rng(seed), hostile)


@cache
def greedy_path() -> list[ChannelConfig]:
    """From the largest configuration down, always the narrowing that costs least loss per millisecond."""
    truth = make_truth()
    space, config, path = truth.space, truth.space.largest, []
    while True:
        path.append(config)
        indices = space.indices(config)
        moves = [space.config((*indices[:i], index - 1, *indices[i + 1 :])) for i, index in enumerate(indices) if index]
        if not moves:
            return path[::-1]
        here = (truth.latency_ms(config), truth.loss(config))
        config = min(moves, key=lambda c: (truth.loss(c) - here[1]) / (here[0] - truth.latency_ms(c)))


def setting(truth: Truth) -> Setting:
    """A Raspberry Pi with LiteRT."""
    return Setting(
        device=f"rpi4{truth.hostile}",
        hardware=f"Raspberry Pi 4 Model B Rev 1.5, Cortex-A72, 4 cores, aarch64{truth.hostile}",
        engine=Engine(runtime=Runtime.LITERT),
        runtime_version="2.3.0",
        threads=1,
        precision=Precision.INT8,
    )


def run_request(truth: Truth) -> RunRequest:
    """run.json."""
    return RunRequest(
        space=truth.space,
        data=DataFacts(
            source=f"photos/flowers{truth.hostile}",
            fingerprint="9f31c2a7e4b80d56",
            class_names=tuple(f"class {i}{truth.hostile}" for i in range(10)),
            train=40_000,
            search=2_000,
            holdout=3_000,
            test=5_000,
        ),
        device=f"rpi4{truth.hostile}",
        runtime=Runtime.LITERT,
        precision=Precision.INT8,
        threads=1,
        budget=BudgetRequest.parse(f"{BUDGET_MS:g}ms"),
        statistic=Statistic.MEDIAN,
        recipe="standard",
        seed=0,
        command=f"edgewidth run --device rpi4 --data photos/flowers --budget 10ms --out flowers{truth.hostile}",
        versions={
            "edgewidth": "0.1.0",
            "numpy": "2.4.6",
            "python": "3.11.2",
            "tensorflow": "2.21.0",
            "torch": "2.13.0",
        },
    )


def table(truth: Truth) -> LatencyTable:
    """table.json: the entries are the truth itself, layer by layer."""
    held_out = []
    for _ in range(24):
        config = truth.space.sample(truth.rng)
        predicted = truth.latency_ms(config)
        half = predicted * 0.022
        measured = predicted * truth.rng.normal(1.0, 0.011)
        held_out.append(
            HeldOut(
                visits=ConfigVisits(config=config, values_ms=(measured,), started_s=(0.0,)),
                predicted_ms=predicted,
                low_ms=predicted - half,
                high_ms=predicted + half,
                measured_ms=measured,
            )
        )
    return LatencyTable(
        space=truth.space,
        setting=setting(truth),
        statistic=Statistic.MEDIAN,
        entries=_entries(truth),
        offset_ms=0.35,
        fitted=tuple(_visits(truth, config) for config in (truth.space.uniform(1.0), truth.space.sample(truth.rng))),
        held_out=tuple(held_out),
        quality=_table_quality(held_out),
        hyperparameters={"noise_percent": 1.1},
    )


def _entries(truth: Truth) -> tuple[TableEntry, ...]:
    entries = []
    for layer in truth.space.network.layers:
        (before,), (after,) = layer.reads[0].channels, layer.output.channels
        scope = variables_of((before, after))
        rows = [
            [_layer_ms(layer, {str(before): a, str(after): b}) for b in truth.space.choices_of(after)]
            for a in truth.space.choices_of(before)
        ]
        if before == after:
            rows = [[rows[i][i] for i in range(len(rows))]]
        elif isinstance(after, int):
            rows = [[row[0] for row in rows]]
        entries.append(TableEntry(layer=layer.name, scope=scope, values_ms=tuple(map(tuple, rows))))
    return tuple(entries)


def _layer_ms(layer: Layer, widths: dict[str, int]) -> float:
    counted = layer_costs(layer, widths)
    return counted.macs / 5.2e6 + counted.parameters / 2.2e6


def _visits(truth: Truth, config: ChannelConfig) -> ConfigVisits:
    values = truth.latency_ms(config) * truth.rng.normal(1.0, 0.008, 3)
    return ConfigVisits(
        config=config, values_ms=tuple(map(float, values)), started_s=(1.79e9, 1.79e9 + 300, 1.79e9 + 600)
    )


def _table_quality(held_out: list[HeldOut]) -> TableQuality:
    errors = np.array([100 * abs(h.predicted_ms / h.measured_ms - 1) for h in held_out])
    inside = [h.low_ms <= h.measured_ms <= h.high_ms for h in held_out]
    return TableQuality(
        held_out=len(held_out),
        fitted=100,
        mape_percent=float(errors.mean()),
        worst_percent=float(errors.max()),
        within5_percent=float(100 * (errors <= 5).mean()),
        within10_percent=float(100 * (errors <= 10).mean()),
        coverage_percent=100 * sum(inside) / len(inside),
        noise_percent=0.6,
        verdict="Good enough: predictions are off by 0.9 % on average over 26 held-out configurations, at worst 2.4 %.",
    )


def rivals(truth: Truth) -> Rivals:
    """Twelve configurations, of which four go to the second rung and two to the third."""
    found, offsets = [], (0.71, 0.55, 0.48)
    for number in range(12):
        config = truth.space.sample(truth.rng)
        reached = 3 if number < 2 else 2 if number < 4 else 1
        scores = tuple(offset + 0.3 * truth.loss(config) + truth.rng.normal(0, 0.004) for offset in offsets[:reached])
        methods = ("exact",) if number == 0 else ("greedy", HOSTILE) if number == 1 else ("drawn",)
        one = Rival(config=config, methods=methods, race=1, supernet_loss=truth.loss(config), losses=scores)
        found.append(one)
    return Rivals(
        provenance=Provenance(),
        budget=Budget(latency_ms=BUDGET_MS),
        images=800,
        rungs=(100, 200, 400),
        rivals=tuple(found),
        correction=Correction(
            offsets=offsets,
            slope=Coefficient(value=0.31, standard_error=0.02),
            depth=Coefficient(value=-0.05, standard_error=0.02),
            tilt=Coefficient(value=0.04, standard_error=0.03),
            sigma=0.004,
        ),
        supernet_spearman=0.87,
        corrected_spearman=0.93,
        seconds=312.0,
    )


def losses(truth: Truth) -> UnaryLosses:
    """losses.json."""
    variables = tuple(
        VariableLosses(
            variable=v.name,
            values=tuple(truth.unary(i, width) for width in v.choices),
            standard_errors=tuple(0.04 * truth.unary(i, width) + 0.0004 for width in v.choices),
        )
        for i, v in enumerate(truth.space.variables)
    )
    evaluated = []
    for _ in range(30):
        config = truth.space.sample(truth.rng)
        evaluated.append(EvaluatedConfig(config=config, excess_loss=truth.loss(config) + truth.rng.normal(0, 0.03)))
    return UnaryLosses(
        space=truth.space,
        data_fingerprint="9f31c2a7e4b80d56",
        images=1000,
        offset=0.0,
        variables=variables,
        fitted=tuple(evaluated[:2]),
        held_out=(
            HeldOutLosses(
                kind="random",
                evaluated=tuple(evaluated[:18]),
                quality=LossQuality(held_out=18, spearman=0.95, r2=0.91, residual_sigma=0.013),
            ),
            HeldOutLosses(
                kind="near the budget",
                evaluated=tuple(evaluated[18:]),
                quality=LossQuality(held_out=12, spearman=0.93, r2=0.88, residual_sigma=0.011),
            ),
        ),
        sigma=0.012,
        evaluation=EvaluationPhase(
            cost="latency",
            stopped="settled",
            rounds=tuple(
                EvaluationRound(fitted=fitted, doubts=(BudgetDoubt(budget=BUDGET_MS, regret=regret, gain=0.031),))
                for fitted, regret in ((32, 0.0062), (48, 0.0023))
            ),
        ),
        max_loss=0.482,
        rivals=rivals(truth),
        narrowing=tuple(narrowing(truth)),
    )


def narrowing(truth: Truth) -> Iterator[NarrowingStep]:
    """Four fields, each about the same widths and narrower than the last."""
    for step, temperature in enumerate((0.08, 0.037, 0.017, 0.008)):
        marginals = []
        for number, variable in enumerate(truth.space.variables):
            places = np.arange(len(variable.choices))
            weights = np.exp(-((places - (3 + number % 7)) ** 2) / 2 / (6 / (step + 1)) ** 2)
            marginals.append(tuple((weights / weights.sum()).tolist()))
        yield NarrowingStep(
            done=0.4 + 0.15 * step, temperature=temperature, mean_ms=BUDGET_MS, marginals=tuple(marginals)
        )


def choice(truth: Truth, config: ChannelConfig) -> Choice:
    """A configuration with the sample's predictions."""
    ms = truth.latency_ms(config)
    return Choice(
        config=config, predicted_ms=ms, low_ms=ms * 0.982, high_ms=ms * 1.018, predicted_loss=truth.loss(config)
    )


def estimate(value_ms: float, *, runs: int = 600, spread: float = 0.006) -> LatencyEstimate:
    """A median with a narrow interval."""
    return LatencyEstimate(
        statistic=Statistic.MEDIAN,
        value_ms=value_ms,
        low_ms=value_ms * (1 - spread),
        high_ms=value_ms * (1 + spread),
        visits=10,
        runs=runs,
    )


def search(truth: Truth) -> SearchResult:
    """search.json: the frontier is the greedy path, which is convex enough to look at."""
    path = greedy_path()
    within = [config for config in path if truth.latency_ms(config) <= BUDGET_MS]
    uniform = max((u for u in truth.space.uniforms() if truth.latency_ms(u) <= BUDGET_MS), key=truth.latency_ms)
    chosen, runner_up = within[-1], within[-2]
    steps = [
        RefineStep(
            round=i,
            config=config,
            predicted_ms=truth.latency_ms(config),
            measured=estimate(truth.latency_ms(config) * factor),
            within_budget=within_budget,
        )
        for i, (config, factor, within_budget) in enumerate(
            [(path[len(within)], 1.012, False), (chosen, 1.004, True)], start=1
        )
    ]
    return SearchResult(
        space=truth.space,
        budget=Budget(latency_ms=BUDGET_MS),
        chosen=choice(truth, chosen),
        certificate=Certificate(lower_bound=truth.loss(chosen) - 4e-5, gap=4e-5, grid_error_ms=0.004),
        frontier=tuple(
            FrontierPoint(config=c, predicted_ms=truth.latency_ms(c), predicted_loss=truth.loss(c)) for c in path
        ),
        alternatives=(choice(truth, runner_up),),
        baselines={
            "uniform": choice(truth, uniform),
            "lagrangian": choice(truth, within[-4]),
            "greedy": choice(truth, within[-6]),
        },
        refinement=tuple(steps),
        measured=estimate(truth.latency_ms(chosen) * 1.004),
    )


def judged(truth: Truth, found: SearchResult) -> Judged:
    """judged.json: what was predicted, a little worse."""
    choices = {"chosen": found.chosen, "runner-up": found.alternatives[0], **found.baselines}
    return Judged(
        space=truth.space,
        images=3_000,
        max_loss=0.49,
        choices=tuple(
            JudgedChoice(
                method=method,
                config=one.config,
                predicted_loss=one.predicted_loss,
                excess_loss=one.predicted_loss + 0.004,
                behind=one.predicted_loss - found.chosen.predicted_loss,
                behind_error=0.0 if method == "chosen" else 0.002,
            )
            for method, one in choices.items()
        ),
    )


def artifacts(truth: Truth, config: ChannelConfig) -> Artifacts:
    """artifacts.json: four files."""
    parameters = costs(truth.space, config).parameters
    rows = [
        ("tflite", Precision.INT8, 1.18, 91.32, 98.1, 0.41, 0.9991),
        ("tflite", Precision.FLOAT32, 4.02, 91.70, 100.0, 3.1e-6, 1.0),
        ("onnx", Precision.INT8, 1.24, 91.26, 98.0, 0.44, 0.9990),
        ("onnx", Precision.FLOAT32, 4.05, 91.70, 100.0, 2.2e-6, 1.0),
    ]
    return Artifacts(
        space=truth.space,
        config=config,
        reference_accuracy_percent=91.70,
        artifacts=tuple(
            Artifact(
                file=f"model_{precision}.{suffix}",
                format=suffix,
                precision=precision,
                size_bytes=int(parameters * bytes_each),
                sha256=f"{i:064x}",
                input_quantisation=Quantisation(scale=1 / 127.5, zero_point=0) if precision == "int8" else None,
                output_quantisation=Quantisation(scale=0.11, zero_point=-12) if precision == "int8" else None,
                metric="top-1",
                accuracy_percent=top1,
                agreement_percent=agreement,
                max_difference=difference,
                cosine=cosine,
                int8=Int8Accuracy(images=2000, float32_percent=91.9, plain_percent=88.15, trained_percent=91.4)
                if precision == "int8"
                else None,
            )
            for i, (suffix, precision, bytes_each, top1, agreement, difference, cosine) in enumerate(rows)
        ),
    )


def visit(truth: Truth, number: int, centre_ms: float, *, runs: int = 60) -> Visit:
    """One visit; the device warms up slowly, the fourth visit was disturbed, single runs have a tail."""
    disturbed = "another process took 31 % of the processor" if number == 3 else None
    level = centre_ms * (1 + 0.0012 * (number - 5) + truth.rng.normal(0, 0.0025)) * (1.06 if disturbed else 1)
    times = level * (1 + truth.rng.gamma(1.6, 0.0035, runs) - 0.004)
    times[truth.rng.random(runs) < 0.01] *= 1.6
    temperature = 61.0 - 14.0 * np.exp(-number / 4)
    return Visit(
        model="0" * 64,
        round=number,
        started_s=1.79e9 + 41.0 * number,
        warmup_ns=tuple(int(level * 1.3e6) for _ in range(3)),
        runs_ns=tuple(int(t * 1e6) for t in times),
        before=_state(temperature, number),
        after=_state(temperature + 1.4, number),
        disturbed=disturbed,
    )


def _state(temperature: float, number: int) -> DeviceState:
    return DeviceState(
        temperature_c=round(float(temperature), 1),
        frequency_mhz=1500.0 if number != 3 else 1380.0,
        governor="performance",
        throttled=(),
        load_1m=0.12 + 0.05 * (number == 3),
        available_bytes=3_100_000_000,
        swapped_pages=0,
    )


def validation(truth: Truth, value_ms: float, *, statistic: Statistic = Statistic.MEDIAN) -> ValidationReport:
    """validation.json: the int8 file, ten visits of sixty runs."""
    visits = tuple(visit(truth, number, value_ms) for number in range(10))
    runs = np.array([run for one in visits if not one.disturbed for run in one.runs_ns]) / 1e6
    measured = float(np.quantile(runs, statistic.quantile))
    return ValidationReport(
        file=f"model_int8{truth.hostile}.tflite",
        sha256="0" * 64,
        size_bytes=1_432_112,
        setting=setting(truth),
        facts=DeviceFacts(
            model=f"Raspberry Pi 4 Model B Rev 1.5{truth.hostile}",
            processor="Cortex-A72",
            architecture="aarch64",
            cores=4,
            memory_bytes=3_976_822_784,
            system="Debian GNU/Linux 12 (bookworm)",
            python="3.11.2",
            runtimes={"litert": "2.3.0", "onnxruntime": "1.32.0"},
            free_bytes=18_200_000_000,
        ),
        estimate=estimate(measured, runs=540, spread=0.004).model_copy(
            update={
                "visits": 9,
                "statistic": statistic,
                "counted_percent": 90.0,
                "all_ms": float(np.quantile([run / 1e6 for one in visits for run in one.runs_ns], statistic.quantile)),
            }
        ),
        budget=Budget(latency_ms=BUDGET_MS, statistic=statistic),
        within_budget=measured <= BUDGET_MS,
        visits=visits,
        warnings=(
            MeasurementWarning(
                code="disturbed-visit",
                message=f"One of ten visits was disturbed and measured again.{truth.hostile}",
                remedy="Stop other programs on the device.",
            ),
        ),
    )


def epochs(count: int, **losses: tuple[float, float]) -> str:
    """A training log in which every loss falls from its first to its last value."""
    lines = []
    for epoch in range(1, count + 1):
        done = float(1 - np.exp(-4 * epoch / count))
        line = {"epoch": epoch, "step": 312 * epoch, "seconds": 41.5, "learning_rate": 0.1 * (1 - done)}
        line |= {name: start + (end - start) * done for name, (start, end) in losses.items()}
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


STAGES = ("run", "profile", "train", "search", "finetune", "export", "validate")


def sample_folder(
    path: Path,
    *,
    hostile: str = "",
    until: str = "validate",
    slower: float = 1.0,
    statistic: Statistic = Statistic.MEDIAN,
) -> RunFolder:
    """Write a run folder with everything up to and including the stage ``until``.

    ``slower`` scales what the emitted file needs on the device.
    """
    truth, folder = make_truth(hostile=hostile), RunFolder(path)
    done = STAGES[: STAGES.index(until) + 1]
    found = search(truth)
    run_request(truth).write(folder.run)
    if "profile" in done:
        table(truth).write(folder.table)
    if "train" in done:
        losses(truth).write(folder.losses)
        folder.training_log.write_text(
            epochs(20, loss=(2.2, 0.48), minimum=(2.3, 0.95), random=(2.25, 0.66), excess=(0.4, 0.11))
        )
    if "search" in done:
        found.write(folder.search)
        judged(truth, found).write(folder.judged)
    if "finetune" in done:
        folder.weights.write_bytes(b"weights")
        folder.finetune_log.write_text(epochs(30, loss=(0.61, 0.24)))
    if "export" in done:
        folder.int8_log.write_text(epochs(4, loss=(0.41, 0.33)))
        artifacts(truth, found.chosen.config).write(folder.artifacts)
    if "validate" in done:
        validation(truth, found.chosen.predicted_ms * 1.009 * slower, statistic=statistic).write(folder.validation)
    return folder


def report_page(path: Path) -> Path:
    """The report of a finished run, made in a folder."""
    folder = sample_folder(path / "run")
    report(folder)
    return folder.report_html


def comparison_page(path: Path) -> Path:
    """The comparison of eight runs, more than fit side by side; one has long names, and one was only begun."""
    within, over, begun = (
        sample_folder(path / "within", slower=0.9),
        sample_folder(path / "over", slower=1.2, hostile=HOSTILE),
        sample_folder(path / "begun", until="profile"),
    )
    folders = {f"runs-of-november/raspberry-pi-4b/{share}-percent": within for share in range(30, 80, 10)}
    folders |= {"over": over, "again": over, "begun": begun}
    page = path / "compare.html"
    page.write_text(render_comparison(compared([(name, report_of(one)) for name, one in folders.items()])))
    return page
