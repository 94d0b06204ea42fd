"""What each stage makes of what, and whether what a folder holds is what a run needs.

A stage is declared once, below. Its document says what it was made of; a run knows what it would make it of. Where
both say the same, the stage is done. Where something differs, it is done again if that is a matter of minutes, and
otherwise refused: what took hours, or what a verb made on purpose, is not replaced unasked.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.errors import InputError, MismatchError
from edgewidth.records.artifact import Artifacts
from edgewidth.records.comparison import Comparison
from edgewidth.records.judged import Judged
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.provenance import Difference, Digest, Facts, Made, differences, file_digest, whole_digest
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport
from edgewidth.records.weights_file import network_facts

if TYPE_CHECKING:
    from edgewidth.stages.folder import RunFolder

REMEDY = "Give the same options as to what made it, choose another `out`, or move it elsewhere to make it again."


def _of(document: type[Made]) -> Callable[[Path], Facts]:
    return lambda path: document.read(path).made_of


@dataclass(frozen=True)
class Stage:
    """One stage: its files, and what it makes them of."""

    name: str
    document: Callable[[RunFolder], Path]
    """The file that is written last: with it the stage is done."""
    facts: Callable[[Path], Facts]
    """What that file says it was made of."""
    others: Callable[[RunFolder], tuple[Path, ...]] = lambda _: ()
    """What else it writes."""
    checkpoints: tuple[str, ...] = ()
    """How the names of its checkpoints begin."""
    reads: tuple[Stage, ...] = ()
    """The stages whose files it is made of."""
    again: bool = False
    """Whether it is done again, unasked, where its document is of something else."""

    def files(self, folder: RunFolder) -> tuple[Path, ...]:
        """All of its files in a folder, whether they are there or not."""
        kept = (path for name in self.checkpoints for path in folder.checkpoints.glob(f"{name}-*"))
        return (self.document(folder), *self.others(folder), *kept)


COMPARE = Stage("compare", lambda folder: folder.comparison, _of(Comparison), again=True)
PROFILE = Stage("profile", lambda folder: folder.table, _of(LatencyTable), lambda folder: (folder.prior,))
TRAIN = Stage(
    "train",
    lambda folder: folder.losses,
    _of(UnaryLosses),
    lambda folder: (folder.trained, folder.trained_log, folder.supernet, folder.training_log, folder.evaluations),
    ("adapt", "supernet", "narrowing"),
)
SEARCH = Stage("search", lambda folder: folder.search, _of(SearchResult), reads=(PROFILE, TRAIN))
JUDGE = Stage("judge", lambda folder: folder.judged, _of(Judged), reads=(TRAIN, SEARCH), again=True)
FINETUNE = Stage(
    "finetune",
    lambda folder: folder.weights,
    network_facts,
    lambda folder: (folder.finetune_log,),
    ("finetune",),
    reads=(TRAIN, SEARCH),
)
EXPORT = Stage(
    "export",
    lambda folder: folder.artifacts,
    _of(Artifacts),
    lambda folder: (*folder.models, *folder.companions, folder.weights_int8, folder.int8_log),
    ("int8",),
    reads=(FINETUNE,),
)
VALIDATE = Stage(
    "validate",
    lambda folder: folder.validation,
    _of(ValidationReport),
    lambda folder: (folder.compiled,),
    reads=(EXPORT,),
    again=True,
)
STAGES = (COMPARE, PROFILE, TRAIN, SEARCH, JUDGE, FINETUNE, EXPORT, VALIDATE)
"""All stages in the order in which a run does them; the report follows, of everything that is there."""


def with_followers(stage: Stage) -> tuple[Stage, ...]:
    """A stage, and those made of it that are out of date and done again when it is."""
    found = [stage]
    for one in STAGES:
        if one.again and set(one.reads) & set(found):
            found.append(one)
    return tuple(found)


def files_of(folder: RunFolder, stages: Iterable[Stage]) -> tuple[Path, ...]:
    """The files of stages in a folder, whether they are there or not."""
    return tuple(path for stage in stages for path in stage.files(folder))


def everything(folder: RunFolder) -> tuple[Path, ...]:
    """All that a run writes and can write again; raw measurements stay, being keyed by what they are of."""
    others = (folder.run, folder.report_json, folder.report_html, folder.times, folder.checkpoints)
    return (*files_of(folder, STAGES), *others)


def remove(*paths: Path, needed: Iterable[Path] = ()) -> None:
    """Remove what stages wrote so that it is made again.

    Raises:
        InputError: One of ``needed``, files that are read, is among them.
    """
    going = {path.resolve() for path in paths}
    for path in needed:
        if path.resolve() in going:
            raise InputError(f"`force` would remove {path}, which is needed.", remedy="Choose another `out`.")
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def refuse_existing(folder: RunFolder, stage: Stage, *, force: bool) -> None:
    """Keep a verb from writing over what is there, unless it is forced to.

    Raises:
        InputError: The stage's document exists.
    """
    path = stage.document(folder)
    if path.exists() and not force:
        raise InputError(f"{path} exists.", remedy="Choose another `out`, or `force` to replace it.")


@contextmanager
def replacing(folder: RunFolder, stage: Stage, *, force: bool) -> Iterator[None]:
    """Within, a stage is made that is not there, unless ``force`` is set; what was made of the old one then goes.

    Raises:
        InputError: As ``refuse_existing``.
    """
    refuse_existing(folder, stage, force=force)
    yield
    remove(*files_of(folder, with_followers(stage)[1:]))


def clear(folder: RunFolder, stage: Stage, *, needed: Path | None = None) -> None:
    """Remove what a stage wrote, and what is done again with it; raises as ``remove`` does."""
    remove(*files_of(folder, with_followers(stage)), needed=[needed] if needed else [])


def learned(document: Made) -> Facts:
    """What stages that come after a document are made of, as far as it says."""
    match document:
        case UnaryLosses():
            return {"losses": _current(document.digest, "losses", "losses.json")}
        case SearchResult():
            digest = _current(document.digest, "search", "search.json")
            return {"search": digest, "configuration": document.chosen.config}
        case Artifacts():
            return {one.file: _current(one.sha256, "file", one.file) for one in document.artifacts}
    return {}


def models(folder: RunFolder) -> Facts:
    """The exported files that a folder has, as they are now."""
    there = (path for path in folder.models if path.exists())
    return {path.name: _current(whole_digest(path), "file", path.name) for path in there}


def contents(**files: Path) -> Facts:
    """What stages that use these files are made of, by the names that provenance has for them, if they are there."""
    return {name: _current(file_digest(path), name, path.name) for name, path in files.items() if path.exists()}


def _current(value: str, name: str, file: str) -> Digest:
    return Digest(value, changed=f"{name}: {file} has changed since")


class Ledger:
    """What a run makes its stages of, as far as it is known by now, held against what its folder holds."""

    def __init__(self, folder: RunFolder, known: Facts) -> None:
        self._folder = folder
        self._known = dict(known)

    def learn(self, facts: Facts) -> None:
        """Know more, from what was measured or made meanwhile."""
        self._known |= facts

    def check(self, *stages: Stage) -> None:
        """Refuse what is known to be of something else, before anything is done in vain; raises as ``is_done``."""
        for stage in stages:
            self.is_done(stage)

    def is_done(self, stage: Stage) -> bool:
        """Whether the folder has a stage's document, of what is known; otherwise the stage is to be done.

        Raises:
            MismatchError: The document is of something else, and is not to be replaced unasked.
            FileError: It cannot be read.
        """
        path = stage.document(self._folder)
        if not path.exists():
            return False
        found = differences(self._known, stage.facts(path))
        if found and not stage.again:
            raise refusal(f"{path} is not of this run", found)
        return not found


def refusal(what: str, found: Iterable[Difference], remedy: str = REMEDY) -> MismatchError:
    """The error that says in what something differs from what is wanted."""
    return MismatchError(f"{what}; {'; '.join(map(str, found))}.", remedy=remedy)
