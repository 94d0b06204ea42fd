"""What earlier validations found: by how much the states of a device differ shows in no single one of them.

It is kept in the cache folder. Where it is lost or cannot be written, intervals rest on what is usual again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.errors import FileError, StorageError
from edgewidth.files import cache_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.records.measurement import Setting, Visit

_T = TypeVar("_T")
_MOST_VISITS = 1500
"""So many are kept, of some 120 validations; the oldest go. To read them and to learn from them takes 0.2 s."""


def history_path() -> Path:
    """Where it is kept."""
    return cache_folder() / "validations.sqlite"


def recall(setting: Setting) -> dict[str, list[Visit]]:
    """The visits of earlier validations in a setting, by model."""
    return _with_store(lambda store: store.visits(setting)) or {}


def remember(setting: Setting, visits: Sequence[Visit]) -> None:
    """Add the visits of a validation."""

    def add(store: MeasurementStore) -> None:
        for visit in visits:
            store.add(setting, f"{visit.session}:{visit.round}@{visit.model}", visit)
        store.keep_latest(_MOST_VISITS)

    _with_store(add)


def _with_store(action: Callable[[MeasurementStore], _T]) -> _T | None:
    with suppress(StorageError):
        path = history_path()
        try:
            with MeasurementStore(path) as store:
                return action(store)
        except FileError:  # damaged, or of another version: it begins anew
            for part in path.parent.glob(f"{path.name}*"):
                with suppress(OSError):
                    part.unlink()
    return None
