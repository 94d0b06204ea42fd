"""The numbers of an experiment, in one file beside the page: several machines may add theirs, one after the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from choosing import Choice
from comparing import Row, read_rows, row_fields
from protocol import Protocol
from supernets import Supernet, judged_supernets
from tasks import SCORES, Scores

from edgewidth.errors import MismatchError
from edgewidth.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from protocol import Experiment


class Results(NamedTuple):
    """What is done of one protocol."""

    protocol: Protocol
    """With the names of its files, wherever they are."""
    rows: list[Row]
    supernets: list[Supernet]

    @classmethod
    def of(cls, experiment: Experiment) -> Results:
        """Those in a folder."""
        return cls(experiment.protocol.anywhere, _finished(experiment), judged_supernets(experiment))

    @classmethod
    def read(cls, path: Path) -> Results:
        """Those in a file that ``write`` wrote."""
        document = json.loads(path.read_text(encoding="utf-8"))
        supernets = [Supernet.of_fields(one) for one in document["supernets"]]
        return cls(Protocol.model_validate(document["protocol"]), read_rows(path), supernets)

    def write(self, path: Path) -> None:
        """Write all of them.

        Raises:
            StorageError: It cannot be written.
        """
        document = {
            "protocol": self.protocol.model_dump(mode="json"),
            "networks": [row_fields(row) for row in self.rows],
            "supernets": [supernet.fields for supernet in self.supernets],
        }
        write_atomic(path, (json.dumps(document, indent=1) + "\n").encode())

    def joined(self, path: Path) -> Results:
        """These, and those in a file of supernets that these have nothing of.

        Two machines train one supernet differently: networks of the one are compared with none of the other.

        Raises:
            MismatchError: The file's are of another protocol.
        """
        if not path.exists():
            return self
        kept = Results.read(path)
        if kept.protocol != self.protocol:
            raise MismatchError(
                f"{path} holds the results of another protocol.", remedy="Give the experiment another --name."
            )
        own = {row.final.supernet for row in self.rows} | {supernet.seed for supernet in self.supernets}
        rows = [*self.rows, *(row for row in kept.rows if row.final.supernet not in own)]
        supernets = [*self.supernets, *(one for one in kept.supernets if one.seed not in own)]
        return Results(self.protocol, sorted(rows), sorted(supernets, key=lambda one: one.seed))


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
