"""The numbers of an experiment, in one file beside the page: several machines may add theirs, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from choosing import Choice
from comparing import Networks, Row
from protocol import Protocol
from supernets import Supernet, judged_supernets
from tasks import SCORES, Scores

from edgewidth.documents import Document
from edgewidth.errors import MismatchError

if TYPE_CHECKING:
    from protocol import Experiment


BUDGETS_PERCENT = 1.0
"""By how much machines may measure a budget differently: methods are settled as near to it."""


class Results(Document):
    """What is done of one protocol."""

    schema_name: ClassVar[str] = Networks.schema_name

    protocol: Protocol
    """With the names of its files, wherever they are."""
    budgets_ms: tuple[float, ...]
    """As they were measured, in the protocol's order."""
    networks: tuple[Row, ...]
    """In the protocol's order, too."""
    supernets: tuple[Supernet, ...]
    """Those that networks are of, as far as they have been judged."""

    @classmethod
    def of(cls, experiment: Experiment) -> Results | None:
        """Those in a folder; None: it has no finished network."""
        networks = _finished(experiment)
        if not networks:
            return None
        own = {row.final.supernet for row in networks}
        protocol = experiment.protocol
        return cls(
            protocol=protocol.anywhere,
            budgets_ms=tuple(experiment.budget(budget).latency_ms for budget in protocol.budgets),
            networks=networks,
            supernets=tuple(one for one in judged_supernets(experiment) if one.seed in own),
        )

    def joined(self, kept: Results) -> Results:
        """These, and ``kept`` ones of supernets that these have nothing of.

        Two machines train one supernet differently: networks of the one are compared with none of the other.

        Raises:
            MismatchError: They are of another protocol, or their budgets are other ones.
        """
        if kept.protocol != self.protocol or not np.allclose(
            kept.budgets_ms, self.budgets_ms, rtol=BUDGETS_PERCENT / 100, atol=0
        ):
            raise MismatchError(
                f"Other results that are called {self.protocol.name} are of another protocol, or of other budgets.",
                remedy="Move their file away, or write to another --docs.",
            )
        own, order = {row.final.supernet for row in self.networks}, self.protocol.finals
        networks = [*self.networks, *(row for row in kept.networks if row.final.supernet not in own)]
        supernets = [*self.supernets, *(one for one in kept.supernets if one.seed not in own)]
        return Results(
            protocol=self.protocol,
            budgets_ms=self.budgets_ms,
            networks=tuple(sorted(networks, key=lambda row: order.index(row.final))),
            supernets=tuple(sorted(supernets, key=lambda one: one.seed)),
        )


def _finished(experiment: Experiment) -> tuple[Row, ...]:
    """The final networks that are trained, exported and measured."""
    rows = []
    for final in experiment.protocol.finals:
        path = experiment.choice(final)
        if not path.exists():
            continue
        choice = Choice.read(path)
        scored = experiment.network(final, choice.config).path / SCORES
        if scored.exists():
            scores = Scores.read(scored)
            rows.append(
                Row(
                    final=final,
                    config=str(choice.config),
                    latency_ms=scores.measured.value_ms,
                    used=100 * scores.measured.value_ms / choice.budget_ms,
                    int8=scores.int8_percent,
                    float32=scores.float32_percent,
                    loss=scores.int8_loss,
                )
            )
    return tuple(rows)
