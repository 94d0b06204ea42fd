"""The stage that writes a run folder's reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgewidth.documents import Document
from edgewidth.errors import FileError
from edgewidth.files import write_atomic
from edgewidth.records.artifact import Artifacts
from edgewidth.records.judged import Judged
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import MeasurementWarning
from edgewidth.records.provenance import differences
from edgewidth.records.run import RunRequest
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport
from edgewidth.stages import ledger

if TYPE_CHECKING:
    from edgewidth.records.provenance import Difference, Facts, Made
    from edgewidth.records.report import Report, Stage
    from edgewidth.report.inputs import Inputs
    from edgewidth.stages.folder import RunFolder

D = TypeVar("D", bound=Document)

VERBS: tuple[Stage, ...] = ("profile", "train", "search", "finetune", "export", "validate")
"""The stages that a report misses where they are not done."""
DOCUMENTS = {
    ledger.PROFILE: "table",
    ledger.TRAIN: "losses",
    ledger.SEARCH: "search",
    ledger.JUDGE: "judged",
    ledger.EXPORT: "artifacts",
    ledger.VALIDATE: "validation",
}
"""What a report is made of, in the order of the stages: the names of files and of the fields of ``Inputs``."""


def report(folder: RunFolder) -> Report:
    """Write ``report.json`` and ``report.html`` from what the folder holds so far; raises as ``report_of``."""
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

    files = ledger.contents(supernet=folder.supernet, weights=folder.weights) | ledger.models(folder)
    inputs, stale = _current(_inputs(folder), files)
    return build_report(inputs, stale)


def _inputs(folder: RunFolder) -> Inputs:
    from edgewidth.report.inputs import Inputs, read_epochs, read_seconds  # noqa: PLC0415  a light module in a heavy room

    request = _optional(RunRequest, folder.run)
    table = _optional(LatencyTable, folder.table)
    losses = _optional(UnaryLosses, folder.losses)
    search = _optional(SearchResult, folder.search)
    artifacts = _optional(Artifacts, folder.artifacts)
    with_space = next((document for document in (request, search, artifacts, table, losses) if document), None)
    if with_space is None:
        raise FileError(
            f"{folder.path} holds nothing to report on.",
            remedy="Give the folder that was the `out` of edgewidth run.",
        )
    there = {stage.name for stage in ledger.STAGES if stage.document(folder).exists()}
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
        seconds=read_seconds(folder.times),
        missing=tuple(verb for verb in VERBS if verb not in there),
    )


def _current(inputs: Inputs, files: Facts) -> tuple[Inputs, tuple[MeasurementWarning, ...]]:
    """The documents that belong together, with a warning for each that does not and is left out.

    A verb that is called again alone leaves later files of an earlier choice behind; a verdict on those would be about
    another network. ``files`` are the contents of those that are no documents.
    """
    known: Facts = files | {"search space": inputs.space}
    left_out: list[ledger.Stage] = []
    warnings: list[MeasurementWarning] = []
    for stage, name in DOCUMENTS.items():
        document: Made | None = getattr(inputs, name)
        if document is None or stage in left_out:
            continue
        if found := differences(known, document.made_of):
            warnings.append(_stale(stage, found))
            left_out += ledger.with_followers(stage)
        else:
            known |= ledger.learned(document)
    nothing: dict[str, Any] = {DOCUMENTS[stage]: None for stage in left_out}
    names = {stage.name for stage in left_out}
    missing = tuple(verb for verb in VERBS if verb in inputs.missing or verb in names)
    return inputs._replace(missing=missing, **nothing), tuple(warnings)


def _stale(stage: ledger.Stage, found: Sequence[Difference]) -> MeasurementWarning:
    verb = f"edgewidth {stage.name} again, or " if stage.name in VERBS else ""
    return MeasurementWarning(
        code="out-of-date",
        message=f"{DOCUMENTS[stage]}.json is out of date and was left out; {'; '.join(map(str, found))}.",
        remedy=f"Run {verb}edgewidth run on this folder.",
    )


def _optional(document: type[D], path: Path) -> D | None:
    return document.read(path) if path.exists() else None
