"""A run folder belongs to one request, and says what in another one differs."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import pytest
from report import sample

from edgewidth.errors import InputError, MismatchError
from edgewidth.stages.claim import claimed, locked
from edgewidth.stages.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "0" * 16}, "the images of photos/flowers have changed"),
        ({"fingerprint": "0" * 16, "source": "photos/trees"}, "data was photos/flowers, now photos/trees"),
        ({"source": "elsewhere/flowers"}, None),
    ],
)
def test_other_images_are_another_run(tmp_path: Path, change: dict[str, str], said: str | None) -> None:
    """By the same path too; the same images by another path are the same run."""
    folder, request = RunFolder(tmp_path), sample.run_request(sample.make_truth())
    with claimed(folder, request, force=False):
        pass
    other = request.model_copy(update={"data": request.data.model_copy(update=change)})
    expected = pytest.raises(MismatchError, match=f"another run: {said}.") if said else nullcontext()
    with expected, claimed(folder, other, force=False):
        pass


def test_a_disk_without_locks_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is at work there, and waiting would not help."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(InputError, match="cannot be locked: No locks available"), locked(tmp_path):
        pass


def enter_often(run: Path, mark: Path) -> int:
    """Enter the folder as often as it is free; 1 if somebody else was in it too."""
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        with suppress(InputError), locked(run), mark.open("a") as inside:
            try:
                fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return 1
            time.sleep(0.001)
    return 0


def test_a_folder_has_one_program_at_a_time(tmp_path: Path) -> None:
    """Also where several come and go, and each removes the lock and the empty folder behind it."""
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            status = 70
            with suppress(BaseException):
                status = enter_often(tmp_path / "run", tmp_path / "mark")
            os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
