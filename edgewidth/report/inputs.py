"""What a run folder holds so far, read; a stage that has not been done left None."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from edgewidth.documents import Document
from edgewidth.errors import FileError
from edgewidth.records.artifact import Artifacts
from edgewidth.records.judged import Judged
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.run import RunRequest
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.report import Stage

Epochs = tuple[dict[str, float], ...]
D = TypeVar("D", bound=Document)


class Inputs(NamedTuple):
    """The documents of a run folder."""

    space: SearchSpace
    request: RunRequest | None
    table: LatencyTable | None
    losses: UnaryLosses | None
    search: SearchResult | None
    judged: Judged | None
    artifacts: Artifacts | None
    validation: ValidationReport | None
    training: Epochs
    finetuning: Epochs
    int8_training: Epochs
    missing: tuple[Stage, ...]


def read_inputs(folder: RunFolder) -> Inputs:
    """Read what is there.

    Raises:
        FileError: A file cannot be read as what it should be, or the folder holds no document to report on.
    """
    request = _optional(RunRequest, folder.run)
    table = _optional(LatencyTable, folder.table)
    losses = _optional(UnaryLosses, folder.losses)
    search = _optional(SearchResult, folder.search)
    artifacts = _optional(Artifacts, folder.artifacts)
    with_space = next((document for document in (request, search, artifacts, table, losses) if document), None)
    if with_space is None:
        raise FileError(
            f"{folder.path} holds nothing to report on.",
            remedy="Give the folder that was the --out of edgewidth run.",
        )
    return Inputs(
        space=with_space.space,
        request=request,
        table=table,
        losses=losses,
        search=search,
        judged=_optional(Judged, folder.judged),
        artifacts=artifacts,
        validation=_optional(ValidationReport, folder.validation),
        training=read_epochs(folder.training_log),
        finetuning=read_epochs(folder.finetune_log),
        int8_training=read_epochs(folder.int8_log),
        missing=_missing(folder),
    )


def read_epochs(path: Path) -> Epochs:
    """The finite numbers of every line of a training log; a line that is cut short is left out."""
    if not path.exists():
        return ()
    epochs = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            content = json.loads(line)
        except json.JSONDecodeError:
            continue  # the line that a killed run was writing
        if isinstance(content, dict):
            epochs.append({key: float(value) for key, value in content.items() if _is_number(value)})
    return tuple(epoch for epoch in epochs if epoch)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _optional(document: type[D], path: Path) -> D | None:
    return document.read(path) if path.exists() else None


def _missing(folder: RunFolder) -> tuple[Stage, ...]:
    files: dict[Stage, Path] = {
        "profile": folder.table,
        "train": folder.losses,
        "search": folder.search,
        "finetune": folder.weights,
        "export": folder.artifacts,
        "validate": folder.validation,
    }
    return tuple(stage for stage, path in files.items() if not path.exists())
