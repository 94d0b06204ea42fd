"""``edgewidth validate``: measure a model file against a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgewidth.cli.options import (
    budget_in_ms_option,
    device_options,
    json_option,
    statistic_option,
    sustained_option,
    target_from,
)
from edgewidth.cli.output import print_document, print_validation, say_warnings
from edgewidth.cli.progress import TerminalProgress

OVER_BUDGET = 1


@click.command("validate")
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@device_options
@budget_in_ms_option
@statistic_option
@sustained_option
@json_option
def command(model: Path, as_json: bool, **options: Any) -> int:
    """Measure MODEL, any .tflite or .onnx, as it is; exit 0 within the budget, 1 over it.

    Without a budget it is only measured.
    """
    from edgewidth.stages.validate import runtime_for, validate  # noqa: PLC0415  help stays instant

    options["runtime"] = options["runtime"] or runtime_for(model, target_from(options).profile)
    target = target_from(options)
    request = options["budget"]
    budget = None if request is None else request.resolve(0.0, target.statistic)
    validation = validate(model, target, budget=budget, sustained_s=options["sustained"], progress=TerminalProgress())
    if as_json:
        print_document(validation)
    else:
        print_validation(validation)
        say_warnings(validation.warnings)
    return OVER_BUDGET if validation.within_budget is False else 0
