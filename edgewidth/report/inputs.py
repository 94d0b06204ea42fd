"""What a run folder holds so far, read; a stage that has not been done left None."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.errors import FileError

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.artifact import Artifacts
    from edgewidth.records.judged import Judged
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.report import Stage
    from edgewidth.records.run import RunRequest
    from edgewidth.records.search import SearchResult
    from edgewidth.records.table import LatencyTable
    from edgewidth.records.validation import ValidationReport

Epochs = tuple[dict[str, float], ...]


class Inputs(NamedTuple):
    """The documents of a run folder, or one that stands alone."""

    space: SearchSpace | None
    """None: there is nothing but a measured file."""
    request: RunRequest | None = None
    table: LatencyTable | None = None
    losses: UnaryLosses | None = None
    search: SearchResult | None = None
    judged: Judged | None = None
    artifacts: Artifacts | None = None
    validation: ValidationReport | None = None
    training: Epochs = ()
    finetuning: Epochs = ()
    int8_training: Epochs = ()
    seconds: dict[str, float] | None = None
    missing: tuple[Stage, ...] = ()


def read_epochs(path: Path) -> Epochs:
    """The finite numbers of every line of a log; a line that is cut short is left out.

    Raises:
        FileError: It is there and cannot be read.
    """
    if not path.exists():
        return ()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise FileError(
            f"{path} could not be read: {error.strerror}.",
            remedy="Let it be readable, or take it away: it only shows how the run went.",
        ) from error
    epochs = []
    for line in lines:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the line that a killed run was writing
        if isinstance(content, dict):
            epochs.append({key: float(value) for key, value in content.items() if _is_number(value)})
    return tuple(epoch for epoch in epochs if epoch)


def read_seconds(path: Path) -> dict[str, float]:
    """How long every stage took by the lines of a journal, each time that a run was at it; raises as ``read_epochs``.

    The stages are in the order in which they came.
    """
    spent: dict[str, float] = {}
    for line in read_epochs(path):
        for stage, seconds in line.items():
            spent[stage] = round(spent.get(stage, 0.0) + seconds, 1)
    return spent


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
