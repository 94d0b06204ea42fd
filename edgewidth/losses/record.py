"""The fitted losses as ``losses.json`` keeps them, and back as numbers for a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from edgewidth.records.losses import (
    EvaluatedConfig,
    HeldOutLosses,
    LossQuality,
    PairLosses,
    UnaryLosses,
    VariableLosses,
)
from edgewidth.search.factors import Factor, total

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig
    from edgewidth.losses.fit import Array, Evaluations
    from edgewidth.losses.rounds import Rounds


def record_losses(rounds: Rounds, *, data: ImageData, images: int, max_loss: float) -> UnaryLosses:
    """Every (variable, width) with its loss and standard error, and how well they predict what was held out."""
    fit = rounds.fit
    space = fit.design.space
    names = [variable.name for variable in space.variables]
    offset, *factors = fit.mean_factors
    unaries, pairs = factors[: len(names)], factors[len(names) :]
    return UnaryLosses(
        space=space,
        data_fingerprint=data.fingerprint,
        class_names=data.task.output_names,
        images=images,
        offset=float(offset.values),
        variables=tuple(
            VariableLosses(variable=name, values=tuple(unary.values.tolist()), standard_errors=tuple(errors.tolist()))
            for name, unary, errors in zip(names, unaries, fit.standard_errors(), strict=True)
        ),
        pairs=tuple(
            PairLosses(variables=(names[u], names[v]), values=tuple(map(tuple, values.tolist())))
            for (u, v), values in pairs
        ),
        fitted=_records(rounds.fitted),
        held_out=tuple(
            HeldOutLosses(
                kind=kind, evaluated=_records(some), quality=judge_losses(fit.predict(some.configs), some.excess)
            )
            for kind, some in rounds.held_out.items()
            if some.configs
        ),
        sigma=fit.posterior.sigma,
        evaluation=rounds.outcome,
        max_loss=max_loss,
    )


def _records(evaluations: Evaluations) -> tuple[EvaluatedConfig, ...]:
    return tuple(
        EvaluatedConfig(config=config, excess_loss=float(excess))
        for config, excess in zip(evaluations.configs, evaluations.excess, strict=True)
    )


def judge_losses(predicted: Array, measured: Array) -> LossQuality:
    """How well predictions of held-out configurations (n,) meet their losses."""
    residual = measured - predicted
    total = float(((measured - measured.mean()) ** 2).sum())
    return LossQuality(
        held_out=len(measured),
        spearman=spearman(predicted, measured),
        r2=1 - float((residual**2).sum()) / total if total > 0 else 0.0,
        residual_sigma=float(np.sqrt(np.mean(residual**2))),
    )


def spearman(a: Array, b: Array) -> float:
    """The rank correlation; equal values share their mean rank. 0 where one side is constant."""
    ranks = [rankdata(a), rankdata(b)]
    if any(rank.std() == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def predicted_excess(losses: UnaryLosses, configs: Sequence[ChannelConfig]) -> Array:
    """What the supernet's losses add up to for configurations, in nats: (configurations,)."""
    return total(supernet_factors(losses), np.array([losses.space.indices(config) for config in configs]))


def supernet_factors(losses: UnaryLosses) -> tuple[Factor, ...]:
    """The losses as the supernet has them: the offset, the variables, the pairs."""
    index = {variable.name: i for i, variable in enumerate(losses.space.variables)}
    return (
        Factor((), np.array(losses.offset)),
        *(Factor((index[unary.variable],), np.array(unary.values)) for unary in losses.variables),
        *(Factor((index[p.variables[0]], index[p.variables[1]]), np.array(p.values)) for p in losses.pairs),
    )
