"""What makes a training this one: its weights, and everything learned from them, depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.records.provenance import Provenance
from edgewidth.records.training import FINAL_RECIPE, FINAL_START, IMAGES, NARROWING, RECIPE, SEED, START, UNIFORM

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.training.recipes import Phase, Recipe


def supernet_training(
    data: ImageData, recipe: Recipe, *, seed: int, start: str = "", sampler: str = UNIFORM
) -> Provenance:
    """The training of a supernet; ``start`` and ``sampler`` are the inputs ``START`` and ``NARROWING``."""
    inputs = {IMAGES: data.fingerprint, START: start, NARROWING: sampler}
    phases = recipe.trained.before_choice if start else (recipe.supernet, recipe.minimum_every)
    return Provenance(inputs=inputs, options={SEED: seed, RECIPE: repr(phases)})


def final_training(data: ImageData, phase: Phase, *, seed: int, start: str) -> Provenance:
    """The training of the chosen network, with or without a supernet to start from."""
    inputs = {IMAGES: data.fingerprint, FINAL_START: start}
    return Provenance(inputs=inputs, options={SEED: seed, FINAL_RECIPE: repr(phase)})
