"""From raw blocks to a latency with an interval that holds.

The runs of one block are not independent: they share a process, its memory and the mood of the device. So the
interval comes from how much whole visits differ. With visits as few as two or three their spread alone is
hardly known; it is joined with what the runs inside the blocks show, as a scaled inverse chi-squared prior of
``PRIOR_VISITS`` visits (Gelman et al., Bayesian Data Analysis, section 3.3), which makes the interval a
Student t with as many more degrees of freedom.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InputError
from edgewidth.records.measurement import LatencyEstimate, Statistic
from edgewidth.records.table import Visits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.records.measurement import Block
    from edgewidth.records.network import ChannelConfig

PRIOR_VISITS = 2.0
CONFIDENCE = 0.95


def counting(blocks: Sequence[Block]) -> list[Block]:
    """The undisturbed blocks; all of them where every one was disturbed, since a number is wanted."""
    return [block for block in blocks if block.disturbed is None] or list(blocks)


def block_ms(block: Block, statistic: Statistic) -> float:
    """The statistic of one block's runs, in milliseconds."""
    return float(np.quantile(block.runs_ns, statistic.quantile)) / 1e6


def visits(config: ChannelConfig, blocks: Sequence[Block], statistic: Statistic) -> Visits:
    """What a latency table is fitted to: one value for each undisturbed visit."""
    some = counting(blocks)
    return Visits(
        config=config,
        values_ms=tuple(block_ms(block, statistic) for block in some),
        started_s=tuple(block.started_s for block in some),
    )


def estimate(blocks: Sequence[Block], statistic: Statistic) -> LatencyEstimate:
    """A statistic of the latency over all undisturbed visits, with its 95 % confidence interval.

    Raises:
        InputError: There are no blocks.
    """
    some = counting(blocks)
    if not some:
        raise InputError("There is no measurement to estimate a latency from.")
    logs = np.log([max(block_ms(block, statistic), 1e-6) for block in some])
    centre = float(np.mean(logs))
    half = _half_width(logs, float(np.median([_spread(block) for block in some])))
    return LatencyEstimate(
        statistic=statistic,
        value_ms=math.exp(centre),
        low_ms=math.exp(centre - half),
        high_ms=math.exp(centre + half),
        blocks=len(some),
        runs=sum(len(block.runs_ns) for block in some),
    )


def _spread(block: Block) -> float:
    """The relative spread of the runs of a block: their interquartile range as a standard deviation of logs."""
    low, high = np.quantile(np.maximum(block.runs_ns, 1), (0.25, 0.75))
    return float(np.log(high / low)) / 1.349


def _half_width(logs: np.ndarray, prior_sigma: float) -> float:
    """Half the interval's width on the logarithmic scale."""
    from scipy.special import stdtrit  # noqa: PLC0415 - 0.1 s of import that only estimates need

    freedom = PRIOR_VISITS + len(logs) - 1
    squares = PRIOR_VISITS * prior_sigma**2 + float(np.sum((logs - logs.mean()) ** 2))
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(squares / freedom / len(logs))
