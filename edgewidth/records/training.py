"""What a supernet was trained with: kept with its weights, and with what is learned from them."""

from __future__ import annotations

from edgewidth.documents import Record

UNIFORM = "uniform"
"""The sampler of a supernet that serves any device and budget."""

_WORDS = {"data": "images", "recipe": "recipe", "start": "weights to begin with"}


class SupernetTraining(Record):
    """What makes a training of a supernet this one; the search space is told beside it.

    Search and holdout images are kept out of the training of one seed; another seed trains on most of them.
    """

    data: str
    """The fingerprint of the images."""
    seed: int
    recipe: str
    """Every value of the recipe that counts for the supernet."""
    start: str
    """The fingerprint of the weights that it began with; empty: random ones."""
    sampler: str
    """``uniform``, or the identity of what its widths were drawn from."""

    def differences(self, other: SupernetTraining) -> list[str]:
        """What differs, as ``seed: 0 here, 1 there``; empty if they are the same training."""
        names = [words for name, words in _WORDS.items() if getattr(self, name) != getattr(other, name)]
        found = [f"{name}: not the same" for name in names]
        if self.seed != other.seed:
            found.append(f"seed: {self.seed} here, {other.seed} there")
        # Two narrowings are not the same where anything above differs: that alone says nothing of their tables.
        if self.sampler != other.sampler and (not found or UNIFORM in {self.sampler, other.sampler}):
            found.append("narrowing (its table, budget and schedule): not the same")
        return found
