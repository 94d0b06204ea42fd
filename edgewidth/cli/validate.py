"""``edgewidth validate``: measure a model file against a budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import click

from edgewidth.cli.options import DeviceOption, ForceOption, JsonOption, StatisticOption, TargetOptions
from edgewidth.cli.output import print_result, print_validation
from edgewidth.cli.progress import TerminalProgress
from edgewidth.cli.record import argument, option, refuse_without, verb
from edgewidth.cli.values import FOLDER, budget_in_ms, duration, input_values, percent, shapes
from edgewidth.errors import AnswerError
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.inputs import Fill


@dataclass(frozen=True)
class Options:
    """What ``edgewidth validate`` takes."""

    model: Annotated[Path, argument(type=click.Path(path_type=Path, dir_okay=False))]
    device: DeviceOption
    measuring: TargetOptions
    budget: Annotated[
        BudgetRequest | None, option("--budget", parse=budget_in_ms, help="8ms or 0.4s.  [default: only measure]")
    ]
    statistic: StatisticOption
    sustained_s: Annotated[
        float | None,
        option(
            "--sustained",
            parse=duration,
            metavar="10m",
            help="Afterwards run it without a pause for so long, or until Ctrl-C, and tell how the latency drifts.",
        ),
    ]
    input_shape: Annotated[
        dict[str, tuple[int, ...]],
        option(
            "--input-shape",
            multiple=True,
            callback=shapes,
            metavar="[NAME=]1x224x224x3",
            help="The sizes that MODEL leaves open, of its input or of the one called NAME; may be repeated.",
        ),
    ]
    input_values: Annotated[
        Fill | Path | None,
        option(
            "--input-values",
            parse=input_values,
            metavar="zeros|random|FILE.npz",
            help="What inputs hold.  [default: random; zeros for integers of more than 16 bits, such as ids]",
        ),
    ]
    signature: Annotated[
        str | None,
        option("--signature", metavar="NAME", help="Which of MODEL's signatures to measure.  [default: the first]"),
    ]
    baseline: Annotated[
        Path | None,
        option(
            "--baseline",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="What an earlier validate --json printed: exit 1 if MODEL is much slower than that.",
        ),
    ]
    max_regression: Annotated[
        float | None,
        option(
            "--max-regression",
            parse=percent,
            metavar="20%",
            help="How much slower than the baseline it may be.  [default: 20%]",
        ),
    ]
    out: Annotated[
        Path | None,
        option("--out", type=FOLDER, help="Run folder whose report is to have it.  [default: it is only printed]"),
    ]
    force: ForceOption
    as_json: JsonOption


@verb("validate", Options)
def command(options: Options) -> int:
    """Measure MODEL, any .tflite or .onnx, as it is; exit 0 within the budget, 1 over it.

    Without a budget or a baseline it is only measured.
    """
    from edgewidth.records.validation import ValidationReport  # noqa: PLC0415  help stays instant
    from edgewidth.stages.validate import MOST_REGRESSION_PERCENT, engine_for, kept, validate  # noqa: PLC0415  as above

    if options.baseline is None:
        refuse_without("--baseline", "max_regression")
    if options.out is None:
        refuse_without("--out", "force")
    target = options.measuring.target(options.device, statistic=options.statistic)
    if options.measuring.runtime is None:
        engine = engine_for(options.model, target.profile, options.measuring.accelerator)
        target = replace(target, engine=engine or target.engine)
    budget = None if options.budget is None else options.budget.in_ms(target.statistic)
    measured = partial(
        validate,
        options.model,
        target,
        budget=budget,
        sustained_s=options.sustained_s,
        input_shapes=options.input_shape,
        input_values=options.input_values,
        signature=options.signature,
        baseline=None if options.baseline is None else ValidationReport.read(options.baseline),
        most_regression_percent=options.max_regression or MOST_REGRESSION_PERCENT,
        progress=TerminalProgress(),
    )
    validation = kept(measured, options.out, force=options.force)
    print_result(validation, as_json=options.as_json, text=lambda: print_validation(validation))
    return 0 if validation.passed else AnswerError.exit_code
