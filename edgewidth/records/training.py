"""What the training of a supernet depends on, by the names that its provenance has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgewidth.records.provenance import Provenance

IMAGES = "images"
"""The fingerprint of the data source."""
RECIPE, FINAL_RECIPE = "recipe", "recipe of the final training"
"""Every value of the recipe that counts for the supernet, or for the chosen network."""
SEED = "seed"
"""Search and holdout images are kept out of the training of one seed; another seed trains on most of them."""
START = "weights to begin with"
"""The digest of the file of weights that training began with; empty: random ones."""
FINAL_START = "weights that the final training begins with"
"""The digest of the supernet or of the file of weights; ``scratch``: random ones."""
NARROWING = "narrowing (its table, budget and schedule)"
"""``UNIFORM``, or the digest of what widths were drawn by."""
UNIFORM = "uniform"
"""The widths of a supernet that serves any device and budget were drawn uniformly."""


def upgraded(training: Mapping[str, Any]) -> Provenance:
    """The provenance of a supernet, from what older versions kept of its training."""
    inputs = {IMAGES: training["data"], START: training["start"], NARROWING: training["sampler"]}
    return Provenance(inputs=inputs, options={SEED: training["seed"], RECIPE: training["recipe"]})
