"""The numbers of an experiment, in one file beside the page: several machines may add theirs, one after the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from choosing import Choice
from comparing import Row, read_rows, row_fields
from protocol import Protocol
from supernets import Supernet, judged_supernets
from tasks import SCORES, Scores

from edgewidth.errors import FileError, MismatchError
from edgewidth.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from protocol import Experiment


BUDGETS_PERCENT = 1.0
"""By how much machines may measure a budget differently: methods are settled as near to it."""


class Results(NamedTuple):
    """What is done of one protocol."""

    protocol: Protocol
    """With the names of its files, wherever they are."""
    budgets_ms: tuple[float, ...]
    """As they were measured, in the protocol's order."""
    rows: list[Row]
    """In the protocol's order."""
    supernets: list[Supernet]
    """Those that rows are of, as far as they have been judged."""

    @classmethod
    def of(cls, experiment: Experiment) -> Results | None:
        """Those in a folder; None: it has no finished network."""
        rows = _finished(experiment)
        if not rows:
            return None
        own = {row.final.supernet for row in rows}
        supernets = [one for one in judged_supernets(experiment) if one.seed in own]
        protocol = experiment.protocol
        budgets = tuple(experiment.budget(budget).latency_ms for budget in protocol.budgets)
        return cls(protocol.anywhere, budgets, rows, supernets)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Those in a file that ``write`` wrote.

        Raises:
            FileError: It is no such file, or cannot be read.
        """
        rows = read_rows(path)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            supernets = [Supernet.of_fields(one) for one in document["supernets"]]
            return cls(Protocol.model_validate(document["protocol"]), tuple(document["budgets_ms"]), rows, supernets)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise FileError(f"{path} is no experiment's file of results: {error}.") from error

    def write(self, path: Path) -> None:
        """Write all of them.

        Raises:
            StorageError: It cannot be written.
        """
        document = {
            "protocol": self.protocol.model_dump(mode="json"),
            "budgets_ms": self.budgets_ms,
            "networks": [row_fields(row) for row in self.rows],
            "supernets": [supernet.fields for supernet in self.supernets],
        }
        write_atomic(path, (json.dumps(document, indent=1) + "\n").encode())

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
        own, order = {row.final.supernet for row in self.rows}, self.protocol.finals
        rows = [*self.rows, *(row for row in kept.rows if row.final.supernet not in own)]
        supernets = [*self.supernets, *(one for one in kept.supernets if one.seed not in own)]
        return self._replace(
            rows=sorted(rows, key=lambda row: order.index(row.final)),
            supernets=sorted(supernets, key=lambda one: one.seed),
        )


def _finished(experiment: Experiment) -> list[Row]:
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
            latency_ms = scores.measured.value_ms
            used, config = 100 * latency_ms / choice.budget_ms, str(choice.config)
            accuracies = scores.int8_percent, scores.float32_percent
            rows.append(Row(final, config, latency_ms, used, *accuracies, scores.int8_loss))
    return rows
