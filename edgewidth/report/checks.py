"""What a reader should be warned of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.records.measurement import MeasurementWarning
from edgewidth.records.validation import close_to_budget
from edgewidth.report.units import listed, plural

if TYPE_CHECKING:
    from edgewidth.records.budget import Budget
    from edgewidth.records.report import Measured
    from edgewidth.report.inputs import Inputs

PREDICTION_TOLERANCE_PERCENT = 5.0
"""Further apart than this, prediction and measurement contradict each other: the wanted accuracy of a table."""
FEW_SEARCH_IMAGES = 100
"""Fewer tell widths apart poorly: by 100 a choice lost 0.0099 nats more than the best of 48 whose losses spread by
0.0097 (standard deviation; Fashion-MNIST), and 0.0255 where they spread by 0.0164 (the digits;
``scripts/experiments/search_images.py``)."""

Warnings = tuple[MeasurementWarning, ...]


def warnings_of(inputs: Inputs, measured: Measured | None, budget: Budget | None) -> Warnings:
    """What only shows when everything is seen together, and then what the stages warned of."""
    export = inputs.artifacts.warnings if inputs.artifacts else ()
    validation = inputs.validation.warnings if inputs.validation else ()
    found = (
        _close_to_budget(inputs, measured, budget),
        _prediction_off(inputs, measured),
        _range_binds(inputs),
        _too_large(inputs, budget),
        _unmeasured(inputs),
        _untested(inputs),
        _few_search_images(inputs),
    )
    return (*(warning for warning in found if warning), *export, *validation)


def _close_to_budget(inputs: Inputs, measured: Measured | None, budget: Budget | None) -> MeasurementWarning | None:
    """Of a validation that does not warn of it itself, as those of older versions do not."""
    validation = inputs.validation
    if not (validation and measured and budget) or measured.clear:
        return None
    warning = close_to_budget(validation.estimate, budget)
    return None if warning.code in {one.code for one in validation.warnings} else warning


def _prediction_off(inputs: Inputs, measured: Measured | None) -> MeasurementWarning | None:
    if not (inputs.search and measured) or measured.statistic is not inputs.search.budget.statistic:
        return None
    off = 100 * (measured.value_ms / inputs.search.chosen.predicted_ms - 1)
    if abs(off) <= PREDICTION_TOLERANCE_PERCENT:
        return None
    return MeasurementWarning(
        code="prediction-off",
        message=f"The file is {abs(off):.1f} % {'slower' if off > 0 else 'faster'} than the latency table predicted.",
        remedy="The device may have been in another state while it was profiled: profile it again when it is idle.",
    )


def _range_binds(inputs: Inputs) -> MeasurementWarning | None:
    if not inputs.search:
        return None
    free = [
        (variable, width)
        for variable, width in zip(inputs.search.space.variables, inputs.search.chosen.config, strict=True)
        if len(variable.choices) > 1
    ]
    ends = {
        "widest": ("a larger `max_width`", [v.name for v, width in free if width == v.choices[-1]]),
        "narrowest": ("a smaller `min_width`", [v.name for v, width in free if width == v.choices[0]]),
    }
    bound = {end: found for end, found in ends.items() if found[1]}
    if not bound:
        return None
    where = "; ".join(
        f"at the {end} that the search space allows: {listed(names, 8)}" for end, (_, names) in bound.items()
    )
    remedy = " and ".join(option for option, _ in bound.values())
    return MeasurementWarning(
        code="range-binds",
        message=f"{where[0].upper()}{where[1:]}.",
        remedy=f"{remedy[0].upper()}{remedy[1:]} may find a better network within the same budget.",
    )


def _too_large(inputs: Inputs, budget: Budget | None) -> MeasurementWarning | None:
    most = budget.limits.size_bytes if budget else None
    if most is None or inputs.validation is None or inputs.validation.size_bytes <= most:
        return None
    if inputs.validation.ran and inputs.validation.ran.footprint:
        return None  # what the compiler makes of it counts
    return MeasurementWarning(
        code="file-too-large",
        message=f"{inputs.validation.file} has {inputs.validation.size_bytes} bytes, more than the {most:.0f} allowed.",
        remedy="Search with a `size_bytes` a little smaller.",
    )


def _unmeasured(inputs: Inputs) -> MeasurementWarning | None:
    if not inputs.search or inputs.search.measured or inputs.validation:
        return None
    return MeasurementWarning(
        code="choice-not-measured",
        message="The chosen configuration's latency is a prediction of the table.",
        remedy="edgewidth run asks the device about the best configurations near the budget and chooses again.",
    )


def _untested(inputs: Inputs) -> MeasurementWarning | None:
    told = inputs.request.data.untested_text if inputs.request else None
    if told is None:
        return None
    return MeasurementWarning(
        code="untested-classes",
        message=told,
        remedy="Put test images of them into the source, for an accuracy over all.",
    )


def _few_search_images(inputs: Inputs) -> MeasurementWarning | None:
    images = inputs.request.data.search if inputs.request else FEW_SEARCH_IMAGES
    if images >= FEW_SEARCH_IMAGES:
        return None
    return MeasurementWarning(
        code="few-search-images",
        message=f"Widths were compared on {plural(images, 'image')}, which tell good ones from others poorly.",
        remedy="Give more training images, of which a tenth is kept out to compare widths on.",
    )
