"""Where things that can be made again are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$EDGEWIDTH_CACHE``, else ``edgewidth`` in the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    if own := os.environ.get("EDGEWIDTH_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgewidth"
