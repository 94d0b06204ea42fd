"""A run folder belongs to one request, and says what in another one differs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from report import sample

from edgewidth.errors import MismatchError
from edgewidth.stages.claim import claimed
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
