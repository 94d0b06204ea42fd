from __future__ import annotations

import numpy as np
import pytest

from edgewidth.graph.widths import Channels, Cuts, total

WIDEST = {"a": 4, "b": 3}


@pytest.mark.parametrize(
    ("channels", "widths", "kept"),
    [
        (("a",), {"a": 2, "b": 3}, [0, 1]),
        ((5,), {"a": 1, "b": 1}, [0, 1, 2, 3, 4]),
        (("a", "b"), {"a": 2, "b": 1}, [0, 1, 4]),
        (("a", 2, "b"), {"a": 1, "b": 2}, [0, 4, 5, 6, 7]),
        (("b", "b"), {"a": 4, "b": 1}, [0, 3]),
        (("a", "b"), WIDEST, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_first_channels_of_every_segment_are_kept(
    channels: Channels, widths: dict[str, int], kept: list[int]
) -> None:
    """In as few slices as there are gaps between them, and one."""
    slices = Cuts(widths, WIDEST)[channels]
    assert np.concatenate([np.arange(total(channels, WIDEST))[part] for part in slices]).tolist() == kept
    assert len(slices) == 1 + np.count_nonzero(np.diff(kept) > 1)
