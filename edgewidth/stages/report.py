"""The stage that writes a run folder's reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from edgewidth.documents import Document
from edgewidth.errors import FileError
from edgewidth.files import write_atomic
from edgewidth.records.artifact import Artifacts
from edgewidth.records.judged import Judged
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.run import RunRequest
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.report import Report, Stage
    from edgewidth.report.inputs import Inputs
    from edgewidth.stages.folder import RunFolder

D = TypeVar("D", bound=Document)


def report(folder: RunFolder) -> Report:
    """Write ``report.json`` and ``report.html`` from what the folder holds so far.

    Raises:
        FileError: The folder holds nothing to report on, or a file that cannot be read.
    """
    from edgewidth.report.html import render_html  # noqa: PLC0415  jinja2 loads when it is needed

    built = report_of(folder)
    built.write(folder.report_json)
    write_atomic(folder.report_html, render_html(built).encode())
    return built


def report_of(folder: RunFolder) -> Report:
    """The report of a run folder, also of one in which stages are still missing; nothing is written.

    Raises:
        FileError: The folder holds nothing to report on, or a file that cannot be read.
    """
    from edgewidth.report.build import build_report  # noqa: PLC0415  scipy loads when it is needed

    return build_report(_inputs(folder))


def _inputs(folder: RunFolder) -> Inputs:
    from edgewidth.report.inputs import Inputs, read_epochs  # noqa: PLC0415  a light module in a heavy room

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
