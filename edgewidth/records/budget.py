"""What must not be exceeded."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, Self

from pydantic import Field

from edgewidth.errors import InputError
from edgewidth.records.base import Record
from edgewidth.records.measurement import Statistic

_PATTERN = re.compile(r"(?P<value>\d+(\.\d*)?|\.\d+) ?(?P<unit>ms|s|%)")


class BudgetRequest(Record):
    """A budget as a person writes it: ``8ms``, ``0.4s``, or ``60%`` of the uniform 1.0 network's latency."""

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unit: Literal["ms", "%"]

    def __str__(self) -> str:
        return f"{self.value:.15g}{self.unit}"

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

    def resolve(self, full_ms: float, statistic: Statistic) -> Budget:
        """The budget in milliseconds, where ``full_ms`` is the measured latency of the uniform 1.0 network."""
        latency_ms = self.value if self.unit == "ms" else full_ms * self.value / 100
        return Budget(latency_ms=latency_ms, statistic=statistic)


class Budget(Record):
    """The most that a statistic of the latency may be."""

    latency_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    statistic: Statistic = Statistic.MEDIAN

    def __str__(self) -> str:
        return f"{self.latency_ms:.4g} ms ({self.statistic})"
