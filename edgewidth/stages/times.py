"""How long the stages of a run took: a line in its folder for each, also for one that was broken off."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewidth.stages.folder import RunFolder


@contextmanager
def timed(folder: RunFolder, stage: str) -> Iterator[None]:
    """Note how many seconds the block took, as time of the stage of this name; less than a tenth is not noted."""
    began = time.monotonic()
    try:
        yield
    finally:
        # A line that cannot be written is no reason to lose what the stage made, nor its own error.
        with contextlib.suppress(OSError):
            if took := round(time.monotonic() - began, 1):
                with folder.times.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({stage: took}) + "\n")
