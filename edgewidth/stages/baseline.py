"""Whether a file can be held against an earlier validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.errors import MismatchError

if TYPE_CHECKING:
    from edgewidth.records.inputs import ModelInput
    from edgewidth.records.measurement import Setting, Statistic
    from edgewidth.records.validation import ValidationReport

FREE = {"precision", "runtime_version"}
"""What may be other than it was: that these make a file slower is worth knowing."""


def check_baseline(
    baseline: ValidationReport, setting: Setting, statistic: Statistic, inputs: Sequence[ModelInput]
) -> None:
    """Hold the way in which a baseline was measured against the way in which a file is to be.

    Raises:
        MismatchError: Something else is different.
    """
    before = baseline.setting.facts | {"statistic": baseline.estimate.statistic}
    now = setting.facts | {"statistic": statistic}
    if baseline.inputs:
        before["shapes of inputs"], now["shapes of inputs"] = (
            ", ".join("x".join(map(str, one.shape)) for one in some) for some in (baseline.inputs, inputs)
        )
    different = [key for key in before if key not in FREE and before[key] != now[key]]
    if different:
        told = "; ".join(f"{key.replace('_', ' ')} was {before[key]}, now {now[key]}" for key in different)
        raise MismatchError(
            f"The baseline of {baseline.file} was measured otherwise: {told}.",
            remedy="Measure as it was, or measure a new baseline.",
        )
