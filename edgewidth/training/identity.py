"""Which training of a supernet it is: what its weights and everything learned from them depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.records.training import UNIFORM, SupernetTraining

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.training.recipes import Recipe


def identify(
    data: ImageData, recipe: Recipe, *, seed: int, start: str = "", sampler: str = UNIFORM
) -> SupernetTraining:
    """The training of a supernet on these images; ``start`` and ``sampler`` as in ``SupernetTraining``."""
    values = repr(recipe.trained.before_choice if start else (recipe.supernet, recipe.minimum_every))
    return SupernetTraining(data=data.fingerprint, seed=seed, recipe=values, start=start, sampler=sampler)
