"""What several tests need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED_CASES = Path(__file__).parents[1].parent / "shared" / "cases"
"""Inputs of the kind that people report, beside the checkout; a user's machine has none."""


def require(condition: object, reason: str) -> None:
    """Skip the test where what it needs is missing; on CI everything must be there, so fail."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must provide this: {reason}")
    pytest.skip(reason)
