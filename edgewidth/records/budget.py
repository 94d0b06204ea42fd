"""What must not be exceeded."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, Self

from pydantic import Field

from edgewidth.documents import Record
from edgewidth.errors import InputError
from edgewidth.records.measurement import Statistic

_PATTERN = re.compile(r"(?P<value>\d+(\.\d*)?|\.\d+) ?(?P<unit>ms|s|%)")


_COUNT = re.compile(r"(?P<value>\d+(\.\d*)?|\.\d+) ?(?P<scale>[kMG]?)(?P<unit>B?)")
_SCALES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

SAME_WITHIN = 0.03
"""The relative difference that budgets of one request may have: a share is of the uniform network's latency, which is
predicted by a table, measured, and measured again."""

Count = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Limits(Record):
    """What must not be exceeded beside the latency; None: it may."""

    size_bytes: Count | None = None
    """The size of the model file in the precision that is measured."""
    macs: Count | None = None
    """Multiply-accumulates of one inference."""
    activation_bytes: Count | None = None
    """All activations that live at once, at most, in the precision that is measured."""

    def __str__(self) -> str:
        texts = [
            (self.size_bytes, "B of file"),
            (self.macs, " MACs"),
            (self.activation_bytes, "B of activations"),
        ]
        return ", ".join(f"{_scaled(value)}{unit}" for value, unit in texts if value is not None)


def parse_count(text: str) -> float:
    """``2MB``, ``300k`` or ``1.5G`` as a number; k, M and G are thousands.

    Raises:
        InputError: It is not a number above zero.
    """
    match = _COUNT.fullmatch(text.strip())
    value = float(match["value"]) * _SCALES[match["scale"]] if match else 0.0
    if not 0 < value < math.inf:
        raise InputError(f"{text!r} is not an amount.", remedy="Write 2MB, 300kB or 50M; k, M and G are thousands.")
    return value


def _scaled(value: float) -> str:
    scale = next((name for name in ("G", "M", "k") if value >= _SCALES[name]), "")
    return f"{value / _SCALES[scale]:.4g} {scale}".rstrip()


class BudgetRequest(Record):
    """A budget as a person writes it: ``8ms``, ``0.4s``, or ``60%`` of the uniform 1.0 network's latency."""

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unit: Literal["ms", "%"]
    limits: Limits = Limits()

    def __str__(self) -> str:
        return ", ".join(part for part in (f"{self.value:.15g}{self.unit}", str(self.limits)) if part)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a budget.

        Raises:
            InputError: It has no unit, is not a number, or is not above zero.
        """
        match = _PATTERN.fullmatch(text.strip())
        value = float(match["value"]) if match else 0.0
        if not match or not 0 < value * 1000 < math.inf:
            raise InputError(
                f"{text!r} is not a budget.",
                remedy="Write milliseconds (8ms), seconds (0.4s), or a share of the uniform 1.0 network (60%).",
            )
        if match["unit"] == "%":
            return cls(value=value, unit="%")
        return cls(value=value * (1000 if match["unit"] == "s" else 1), unit="ms")

    def in_ms(self, statistic: Statistic) -> Budget:
        """The budget of a file that stands alone.

        Raises:
            InputError: It is a share.
        """
        if self.unit == "%":
            raise InputError(
                f"{self} of what? One file alone has no uniform 1.0 network.", remedy="Write the budget as 8ms or 0.4s."
            )
        return self.resolve(0.0, statistic)

    def resolve(self, full_ms: float, statistic: Statistic) -> Budget:
        """The budget in milliseconds, where ``full_ms`` is the measured latency of the uniform 1.0 network."""
        latency_ms = self.value if self.unit == "ms" else full_ms * self.value / 100
        return Budget(latency_ms=latency_ms, statistic=statistic, limits=self.limits)


class Budget(Record):
    """The most that a statistic of the latency may be, and what else must not be exceeded."""

    latency_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    statistic: Statistic = Statistic.MEDIAN
    limits: Limits = Limits()

    def is_about(self, other: Budget) -> bool:
        """Whether one request may have come to both."""
        near = math.isclose(self.latency_ms, other.latency_ms, rel_tol=SAME_WITHIN)
        return near and (self.statistic, self.limits) == (other.statistic, other.limits)

    def __str__(self) -> str:
        return ", ".join(part for part in (f"{self.latency_ms:.4g} ms ({self.statistic})", str(self.limits)) if part)
