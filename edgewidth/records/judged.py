"""What the supernet says of the choice and of others on images that neither training nor search has seen."""

from __future__ import annotations

from typing import ClassVar

from edgewidth.documents import Record
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.provenance import Facts, Made


class JudgedChoice(Record):
    """One method's choice; losses in nats per image."""

    method: str
    """``chosen``, ``runner-up`` (the best of the others by the losses), or a baseline."""
    config: ChannelConfig
    predicted_loss: float
    """Excess loss over the maximum network, as the unary losses predict it."""
    excess_loss: float
    """Excess loss over the maximum network, as evaluated on the holdout images."""
    behind: float
    """How far the loss is above the chosen configuration's on the same images."""
    behind_error: float
    """The standard error of ``behind``."""


class Judged(Made):
    """The run folder's ``judged.json``."""

    schema_name: ClassVar[str] = "edgewidth/judged"
    schema_version: ClassVar[int] = 2

    space: SearchSpace
    images: int
    max_loss: float
    """The maximum network's own loss on these images."""
    choices: tuple[JudgedChoice, ...]
    """The chosen configuration first."""

    @property
    def made_of(self) -> Facts:
        """What it was made of, the chosen configuration among it."""
        return super().made_of | {"configuration": self.choices[0].config}
