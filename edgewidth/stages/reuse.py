"""A latency table from another run: used as it is where it still holds, or as the prior of a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import MismatchError
from edgewidth.latency.agreement import agreement
from edgewidth.latency.design import held_out_configs
from edgewidth.records.provenance import differences
from edgewidth.records.table import LatencyTable
from edgewidth.stages.ledger import refusal

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.stages.bench import Bench
    from edgewidth.stages.folder import RunFolder

CHECKED = 6
"""Networks measured to hold a table against, beside the uniform 1.0 one, the smallest and the largest."""


def reuse(bench: Bench, folder: RunFolder, table: LatencyTable, path: Path) -> LatencyTable:
    """Make a table from elsewhere this run's, after a handful of networks measured now agree with it.

    ``path`` says where it is from; it goes to the folder's ``table.json``.

    Raises:
        MismatchError: It is of another device, runtime, version … or the device no longer is what it was.
    """
    if other := differences(bench.facts, table.made_of):
        raise refusal(f"{path} is of other measurements", other, remedy=_update(table, bench, path))
    space = bench.space
    configs = [space.uniform(1.0), space.smallest, space.largest]
    configs += held_out_configs(space, CHECKED, np.random.default_rng(0), exclude=configs)
    bench.measure(configs)
    measured = bench.visits()
    found = agreement(table, [measured[config] for config in dict.fromkeys(configs)])
    if not found.agrees:
        raise MismatchError(f"{path}: {found.sentence}", remedy=_update(table, bench, path))
    bench.progress.say(f"{path}: {found.sentence}")
    # Not the others' facts and warnings: what this device said now.
    table = table.model_copy(update={"facts": bench.device.facts, "warnings": bench.warnings})
    table.write(folder.table)
    return table


def take_prior(path: Path, space: SearchSpace, folder: RunFolder) -> None:
    """Keep another device's or precision's table as the prior of the one to come; raises as ``read_given``."""
    read_given(path, space).write(folder.prior)


def read_given(path: Path, space: SearchSpace) -> LatencyTable:
    """Another run's table for the same search space.

    Raises:
        FileError: It is no latency table.
        MismatchError: It is of another search space.
    """
    table = LatencyTable.read(path)
    if table.space != space:
        raise MismatchError(
            f"{path} is of another search space; {space.differences(table.space)}.",
            remedy="It must have the same network, resolution, widths and classes; or do without one.",
        )
    return table


def _update(table: LatencyTable, bench: Bench, path: Path) -> str:
    if table.space != bench.space:
        return "Profile without it."
    return f"Give it as `prior={path}`, not `table`: fewer networks are measured, and it stands in for the rest."
