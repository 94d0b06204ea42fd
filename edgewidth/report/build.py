"""The report as a document: computed only from what the stages left in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgewidth.errors import FileError
from edgewidth.records.measurement import Clock, Statistic
from edgewidth.records.report import (
    DeviceReport,
    HeldOutReport,
    LossPoint,
    LossReport,
    Measured,
    NetworkReport,
    Predicted,
    Report,
    ReportedArtifact,
    Reproduce,
    RivalPoint,
    RivalReport,
    SearchReport,
    TableReport,
    VariableWidths,
)
from edgewidth.report.candidates import candidates, predict_loss
from edgewidth.report.checks import warnings_of
from edgewidth.report.verdict import summarise, verdict_of
from edgewidth.tasks.registry import find_task

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace, WidthVariable
    from edgewidth.records.budget import Budget
    from edgewidth.records.losses import EvaluatedConfig, Rivals, UnaryLosses
    from edgewidth.records.measurement import MeasurementWarning
    from edgewidth.records.run import DataFacts
    from edgewidth.records.validation import ValidationReport
    from edgewidth.report.inputs import Inputs

PERCENTILES = {"min": 0, "p10": 10, "p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}


def build_report(inputs: Inputs, stale: Sequence[MeasurementWarning] = ()) -> Report:
    """The report of what a run has made, also where stages are still missing.

    ``stale`` warns of documents that are not among the inputs because they are out of date.

    Raises:
        FileError: The validation holds no measurement.
    """
    budget = _budget(inputs)
    measured = _measured(inputs.validation, budget) if inputs.validation else None
    verdict = verdict_of(measured, budget)
    device = _device(inputs)
    clock = device.setting.clock if device else inputs.search.clock if inputs.search else Clock.WALL
    return Report(
        verdict=verdict,
        summary=summarise(measured, budget, inputs.missing, clock),
        missing=inputs.missing,
        network=_network(inputs.space) if inputs.space else None,
        budget_request=str(inputs.request.budget) if inputs.request else None,
        budget=budget,
        measured=measured,
        predicted=_predicted(inputs, measured),
        artifacts=_artifacts(inputs),
        reference_accuracy_percent=inputs.artifacts.reference_accuracy_percent if inputs.artifacts else None,
        widths=_widths(inputs),
        candidates=candidates(inputs),
        search=_search(inputs),
        table=TableReport(quality=inputs.table.quality, held_out=inputs.table.held_out) if inputs.table else None,
        losses=_losses(inputs.losses) if inputs.losses else None,
        training=inputs.training,
        finetuning=inputs.finetuning,
        int8_training=inputs.int8_training,
        seconds=inputs.seconds or {},
        device=device,
        variant_estimate=inputs.search.measured if inputs.search else None,
        visits=inputs.validation.visits if inputs.validation else (),
        warnings=(*stale, *warnings_of(inputs, measured, budget)),
        reproduce=_reproduce(inputs),
    )


def _budget(inputs: Inputs) -> Budget | None:
    """What the file was held against, or the search's budget, which says nothing of another statistic than its own."""
    validation, searched = inputs.validation, inputs.search.budget if inputs.search else None
    if validation and validation.budget:
        return validation.budget
    if validation and searched and validation.estimate.statistic is not searched.statistic:
        return None
    return searched


def _network(space: SearchSpace) -> NetworkReport:
    network = space.network
    return NetworkReport(
        family=network.family,
        resolution=network.resolution,
        in_channels=network.in_channels,
        num_classes=network.outputs,
        variables=len(space.variables),
        configurations=space.size,
    )


def _measured(validation: ValidationReport, budget: Budget | None) -> Measured:
    estimate = validation.estimate
    if not validation.visits:
        raise FileError("validation.json holds no measured visit.", remedy="Run edgewidth validate again.")
    runs_ms = np.array([run for visit in validation.visits for run in visit.runs_ns]) / 1e6
    percentiles = {name: float(np.percentile(runs_ms, q)) for name, q in PERCENTILES.items()}
    is_median = estimate.statistic is Statistic.MEDIAN
    return Measured(
        file=validation.file,
        inputs=validation.inputs,
        median_ms=estimate.value_ms if is_median else percentiles["p50"],
        **estimate.model_dump(),
        load_ms=validation.load_ms,
        first_ms=validation.first_ms,
        ran=validation.ran,
        energy=validation.energy,
        percentiles_ms=percentiles,
        budget_used_percent=100 * estimate.value_ms / budget.latency_ms if budget else None,
        clear=not estimate.low_ms <= budget.latency_ms < estimate.high_ms if budget else None,
    )


def _predicted(inputs: Inputs, measured: Measured | None) -> Predicted | None:
    if not inputs.search:
        return None
    chosen, statistic = inputs.search.chosen, inputs.search.budget.statistic
    comparable = measured is not None and measured.statistic is statistic
    return Predicted(
        median_ms=chosen.predicted_ms if statistic is Statistic.MEDIAN else None,
        statistic=statistic,
        value_ms=chosen.predicted_ms,
        low_ms=chosen.low_ms,
        high_ms=chosen.high_ms,
        difference_percent=100 * (measured.value_ms / chosen.predicted_ms - 1) if measured and comparable else None,
    )


def _artifacts(inputs: Inputs) -> tuple[ReportedArtifact, ...]:
    if not inputs.artifacts:
        return ()
    reported = []
    for artifact in inputs.artifacts.artifacts:
        low, high = _interval(artifact.accuracy_percent, inputs.request.data) if inputs.request else (None, None)
        reported.append(ReportedArtifact(**dict(artifact), accuracy_low_percent=low, accuracy_high_percent=high))
    return tuple(reported)


def _interval(accuracy_percent: float, data: DataFacts) -> tuple[float, float]:
    """The 95 % interval of an accuracy on the test images."""
    return find_task(data.task, data.class_names).interval(accuracy_percent, data.test)


def _widths(inputs: Inputs) -> tuple[VariableWidths, ...]:
    if not inputs.search:
        return ()
    search, space = inputs.search, inputs.search.space
    uniform = search.baselines.get("uniform")
    return tuple(
        VariableWidths(
            variable=variable.name,
            layers=tuple(
                layer.name
                for layer in space.network.layers
                if layer.operator.mixes and variable.name in layer.output.channels
            ),
            base=variable.base,
            choices=variable.choices,
            chosen=chosen,
            uniform=uniform.config[i] if uniform else None,
            uniform_full=variable.nearest(variable.base),
            at_end=_at_end(variable, chosen),
        )
        for i, (variable, chosen) in enumerate(zip(space.variables, search.chosen.config, strict=True))
    )


def _at_end(variable: WidthVariable, width: int) -> Literal["lowest", "highest"] | None:
    if len(variable.choices) == 1 or width not in {variable.choices[0], variable.choices[-1]}:
        return None
    return "highest" if width == variable.choices[-1] else "lowest"


def _search(inputs: Inputs) -> SearchReport | None:
    if not (search := inputs.search):
        return None
    return SearchReport(
        chosen=search.chosen,
        clock=search.clock,
        certificate=search.certificate,
        frontier=tuple(sorted(search.frontier, key=lambda point: point.predicted_ms)),
        alternatives=search.alternatives,
        refinement=search.refinement,
    )


def _losses(losses: UnaryLosses) -> LossReport:
    return LossReport(
        images=losses.images,
        max_loss=losses.max_loss,
        variables=losses.variables,
        held_out=tuple(
            HeldOutReport(
                kind=held.kind,
                quality=held.quality,
                points=_loss_points(losses, held.evaluated),
            )
            for held in losses.held_out
        ),
        evaluation=losses.evaluation,
        narrowing=losses.narrowing,
        rivals=_rivals(losses, losses.rivals) if losses.rivals else None,
    )


def _rivals(losses: UnaryLosses, rivals: Rivals) -> RivalReport:
    configs, last = [one.config for one in rivals.rivals], rivals.correction.offsets[-1]
    rows = zip(rivals.rivals, (predict_loss(losses, config) for config in configs), strict=True)
    return RivalReport(
        images=rivals.images,
        steps=rivals.rungs[-1],
        points=tuple(
            RivalPoint(
                config=one.config,
                methods=one.methods,
                rungs=len(one.losses),
                supernet_loss=one.supernet_loss,
                corrected_loss=corrected,
                trained_loss=one.losses[-1] - rivals.correction.offsets[len(one.losses) - 1] + last,
            )
            for one, corrected in rows
        ),
        correction=rivals.correction,
        supernet_spearman=rivals.supernet_spearman,
        corrected_spearman=rivals.corrected_spearman,
        seconds=rivals.seconds,
    )


def _loss_points(losses: UnaryLosses, evaluated: Sequence[EvaluatedConfig]) -> tuple[LossPoint, ...]:
    from edgewidth.losses.record import predicted_excess  # noqa: PLC0415  scipy loads when it is needed

    predicted = predicted_excess(losses, [one.config for one in evaluated])
    return tuple(
        LossPoint(config=one.config, predicted=float(value), evaluated=one.excess_loss)
        for one, value in zip(evaluated, predicted, strict=True)
    )


def _device(inputs: Inputs) -> DeviceReport | None:
    if inputs.validation:
        return DeviceReport(setting=inputs.validation.setting, facts=inputs.validation.facts)
    return DeviceReport(setting=inputs.table.setting, facts=None) if inputs.table else None


def _reproduce(inputs: Inputs) -> Reproduce | None:
    if not (request := inputs.request):
        return None
    return Reproduce(
        command=request.command,
        seed=request.seed,
        recipe=request.recipe,
        data=request.data,
        runtime=request.runtime,
        accelerator=request.accelerator,
        precision=request.precision,
        threads=request.threads,
        versions=request.versions,
        space_fingerprint=request.space.fingerprint,
    )
