#!/usr/bin/env python3
"""Does the closed loop keep its promise? Random budgets; what is emitted is measured again minutes later.

The device is profiled once; for each budget a copy of that folder is refined, as ``edgewidth run`` does. Losses are
made up (a fall with every width, steep where it is narrow): training is not the question here.

    met_percent           emitted configurations that, measured again, are within the budget or miss it by less than
                          their stated 95 % interval
    interval_percent      median half-width of the stated intervals
    budget_used_percent   median of the stated latency over the budget
    candidates            median number of configurations measured for a budget
    gap_percent           median of the emitted one's predicted loss over the least that could be, less one

Everything is written to a temporary folder; with --folder it is kept there, and the device is profiled only once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.errors import InfeasibleBudgetError
from edgewidth.graph.families.registry import search_space
from edgewidth.latency.predict import Predictor
from edgewidth.progress import Lines
from edgewidth.records.budget import Budget
from edgewidth.records.losses import EvaluationPhase, UnaryLosses, VariableLosses
from edgewidth.records.measurement import Clock, LatencyEstimate, Precision
from edgewidth.records.table import LatencyTable
from edgewidth.stages.bench import open_bench
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.profile import profile
from edgewidth.stages.refine import refine
from edgewidth.stages.target import make_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.stages.target import Target

VISITS_AGAIN = 12


class Emitted(NamedTuple):
    """What one budget came to."""

    budget_ms: float
    config: ChannelConfig
    stated: LatencyEstimate
    candidates: int
    gap: float
    """Relative."""


def made_up_losses(space: SearchSpace, rng: np.random.Generator) -> UnaryLosses:
    """Excess losses that fall to zero at the widest choice; every variable has its weight and its curvature."""
    variables = []
    for variable in space.variables:
        share = np.array(variable.choices) / variable.choices[-1]
        weight, power = rng.uniform(0.02, 0.2), rng.uniform(0.5, 2.0)
        values = weight * (share**-power - 1)
        zeros = (0.0,) * len(share)
        variables.append(VariableLosses(variable=variable.name, values=tuple(values.tolist()), standard_errors=zeros))
    return UnaryLosses(
        space=space,
        data_fingerprint="made up",
        images=1,
        offset=0.0,
        variables=tuple(variables),
        fitted=(),
        held_out=(),
        sigma=0.0,
        evaluation=EvaluationPhase(cost="latency", stopped="as many as allowed", rounds=()),
        max_loss=0.5,
    )


def emit(target: Target, space: SearchSpace, start: RunFolder, number: int, rng: np.random.Generator) -> Emitted | None:
    """Close the loop for one random budget, in a copy of the profiled folder; None: it was told to be infeasible."""
    folder = RunFolder(start.path.parent / f"budget-{number:02d}")
    shutil.rmtree(folder.path, ignore_errors=True)
    shutil.copytree(start.path, folder.path)
    table = LatencyTable.read(folder.table)
    ends = Predictor(table).predict([space.smallest, space.uniform(1.2)]).mean_ms
    budget = Budget(latency_ms=float(np.exp(rng.uniform(np.log(1.3 * ends[0]), np.log(ends[1])))))
    losses = made_up_losses(space, rng)
    with open_bench(target, space, folder, progress=Lines()) as bench:
        try:
            result = refine(bench, table, losses, budget, folder)
        except InfeasibleBudgetError as error:
            print(error.message, file=sys.stderr)
            return None
    assert result.measured is not None  # noqa: S101 - refine measures; this tells mypy
    gap = result.certificate.gap / result.chosen.predicted_loss
    return Emitted(budget.latency_ms, result.chosen.config, result.measured, len(result.refinement), gap)


def measure_again(target: Target, space: SearchSpace, folder: Path, found: Sequence[Emitted]) -> list[LatencyEstimate]:
    """All emitted configurations, in a store of their own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with open_bench(target, space, RunFolder(folder), progress=Lines()) as bench:
        bench.measure([one.config for one in found], visits=VISITS_AGAIN)
        return [bench.estimate(one.config) for one in found]


def run(options: argparse.Namespace) -> dict[str, object]:
    """Profile, refine for every budget, wait, measure again."""
    target = make_target(options.device, precision=options.precision)
    space = search_space("mobilenet_v1", resolution=options.resolution, in_channels=3, num_classes=10)
    start = RunFolder(options.folder / "profiled")
    start.path.mkdir(parents=True, exist_ok=True)
    with open_bench(target, space, start, progress=Lines()) as bench:
        table = LatencyTable.read(start.table) if start.table.exists() else profile(bench, start, seed=options.seed)
    rng = np.random.default_rng(options.seed)
    found = []
    for number in range(options.budgets):
        emitted = emit(target, space, start, number, rng)
        if emitted:
            found.append(emitted)
            print(
                f"{number}: {emitted.stated.value_ms / emitted.budget_ms:.2%} of {emitted.budget_ms:.4g} ms, "
                f"{emitted.candidates} candidates",
                file=sys.stderr,
                flush=True,
            )
    if target.profile.clock is not Clock.ICOUNT:
        time.sleep(options.pause)
    again = measure_again(target, space, options.folder / "again", found)
    halves = [one.stated.high_ms - one.stated.value_ms for one in found]
    half_percent = [100 * half / one.stated.value_ms for half, one in zip(halves, found, strict=True)]
    over_ms = [later.value_ms - one.budget_ms for one, later in zip(found, again, strict=True)]
    return {
        "budgets": options.budgets,
        "emitted": len(found),
        "met_percent": 100 * float(np.mean([over <= half for over, half in zip(over_ms, halves, strict=True)])),
        "over_percent_worst": 100 * max(over / one.budget_ms for over, one in zip(over_ms, found, strict=True)),
        "interval_percent": float(np.median(half_percent)),
        "budget_used_percent": 100 * float(np.median([one.stated.value_ms / one.budget_ms for one in found])),
        "candidates": float(np.median([one.candidates for one in found])),
        "gap_percent": 100 * float(np.median([one.gap for one in found])),
        "table_mape_percent": table.quality.mape_percent,
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="local", help="a device's name, or the path of a profile")
    parser.add_argument("--precision", type=Precision, choices=list(Precision), default=Precision.INT8)
    parser.add_argument("--budgets", type=int, default=20)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--pause", type=float, default=120, help="seconds before the emitted ones are measured again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where everything is kept; default: nowhere")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        result = run(options)
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
