"""Profiling one device or several side by side; one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.documents import Record
from edgewidth.errors import EdgewidthError, InputError
from edgewidth.progress import Named
from edgewidth.records.comparison import Comparison
from edgewidth.records.measurement import MeasurementWarning, Setting
from edgewidth.records.table import LatencyTable, TableQuality
from edgewidth.stages.bench import open_bench, reaching, setting_now
from edgewidth.stages.claim import locked
from edgewidth.stages.compare import compare
from edgewidth.stages.ledger import PROFILE, Ledger, clear
from edgewidth.stages.profile import ProfilePlan, check_size, profile
from edgewidth.stages.reuse import read_given, reuse, take_prior
from edgewidth.waiting import side_by_side

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.stages.bench import Bench
    from edgewidth.stages.folder import RunFolder
    from edgewidth.stages.target import Target


class ProfileOutcome(Record):
    """What profiling one device came to."""

    device: str
    table: str | None = None
    """The path of its table; None where it failed."""
    setting: Setting | None = None
    quality: TableQuality | None = None
    uniform_ms: float | None = None
    """The measured latency of the uniform 1.0 network."""
    smallest_ms: float | None = None
    warnings: tuple[MeasurementWarning, ...] = ()
    comparison: Comparison | None = None
    error: str | None = None
    remedy: str | None = None
    exit_code: int = 0


def profile_devices(
    targets: Sequence[Target],
    space: SearchSpace,
    out: Path,
    *,
    plan: ProfilePlan,
    seed: int,
    force: bool,
    table: Path | None = None,
    prior: Path | None = None,
    compare_ways: bool = False,
    progress: Progress,
) -> list[ProfileOutcome]:
    """Measure every target and fit its table; with several, each in the folder ``out/<device>``.

    ``table`` is used for a target if it still holds there; ``prior`` is what the tables are learned from; with
    ``compare_ways`` every runtime, precision and thread count is measured first.

    Raises:
        InputError: The space is too small for any table, or two devices have one name, and so one folder.
        EdgewidthError: With one target, as it is; with several, a failure is in its outcome.
    """
    check_size(space)  # before anything is removed or measured
    names = [target.profile.name for target in targets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"Two device profiles are called {twice[0]}, and each device has a folder of its name.",
            remedy="Rename the file of one of them, or profile them one by one, each with an `out` of its own.",
        )
    given = table or prior
    if force and given:
        read_given(given, space)  # before anything is removed for one that does not fit

    def make(target: Target, path: Path, progress: Progress) -> ProfileOutcome:
        with locked(path) as folder, reaching(target.profile, progress=progress) as reach:
            if force:
                setting_now(reach(), target)  # before anything is removed for a device that does not answer
                clear(folder, PROFILE, needed=given)
            comparison = compare(target, space, folder, reach=reach, progress=progress) if compare_ways else None
            if prior:
                take_prior(prior, space, folder)
            with open_bench(target, space, folder, reach=reach, progress=progress) as bench:
                outcome = _profile(bench, folder, plan, seed, table)
                return outcome.model_copy(update={"comparison": comparison})

    if len(targets) == 1:
        return [make(targets[0], out, progress)]

    def attempt(target: Target) -> ProfileOutcome:
        name = target.profile.name
        try:
            return make(target, out / name, Named(name, progress))
        except EdgewidthError as error:
            return ProfileOutcome(device=name, error=error.message, remedy=error.remedy, exit_code=error.exit_code)

    return side_by_side(attempt, targets)


def _profile(bench: Bench, folder: RunFolder, plan: ProfilePlan, seed: int, known: Path | None) -> ProfileOutcome:
    Ledger(folder, bench.facts).is_done(PROFILE)  # a table of something else is not replaced
    space = bench.space
    table = (
        reuse(bench, folder, LatencyTable.read(known), known) if known else profile(bench, folder, plan=plan, seed=seed)
    )
    return ProfileOutcome(
        device=bench.target.profile.name,
        table=str(folder.table),
        setting=bench.setting,
        quality=table.quality,
        uniform_ms=bench.estimate(space.uniform(1.0)).value_ms,
        smallest_ms=bench.estimate(space.smallest).value_ms,
        warnings=bench.warnings,
    )
