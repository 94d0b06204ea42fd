"""Checkpoints: one safetensors file each, its facts as JSON in the header, written atomically, the last two kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from edgewidth.files import write_atomic
from edgewidth.records.weights_file import HEADER

if TYPE_CHECKING:
    from torch import Tensor

    from edgewidth.records.provenance import Provenance

KEPT = 2
"""The last one, and one before it in case the last cannot be read."""


class Checkpoint(NamedTuple):
    """A state of training: after ``step`` steps, with its tensors by name and what else is known, as JSON."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training in ``folder``.

    ``provenance`` says which training it is. Those of another that was given up lie beside its own: they are not taken
    up, and stay until one of them is done.
    """

    def __init__(self, folder: Path, name: str, provenance: Provenance) -> None:
        self._folder = folder
        self._name = name
        self._provenance = provenance.model_dump()
        self._own = f"{name}-{provenance.digest[:8]}"

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove the ones before the last two.

        Raises:
            StorageError: It cannot be written.
        """
        header = {
            HEADER: json.dumps({"provenance": self._provenance, "step": checkpoint.step, "facts": checkpoint.facts})
        }
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
        write_atomic(self._folder / f"{self._own}-{checkpoint.step:09d}.safetensors", save(tensors, header))
        for old in self._files()[KEPT:]:
            old.unlink(missing_ok=True)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint of this training that can be read."""
        for file in self._files():
            found = self._read(file)
            if found is not None:
                return found
        return None

    def clear(self) -> None:
        """Remove the checkpoints of this training, and those of others of its name: it is done."""
        for file in self._folder.glob(f"{self._name}-*.safetensors"):
            file.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._own}-*.safetensors"), reverse=True)

    def _read(self, file: Path) -> Checkpoint | None:
        try:
            with safe_open(file, framework="pt") as stream:
                header = json.loads((stream.metadata() or {}).get(HEADER, "{}"))
                if header.get("provenance") != self._provenance:
                    return None
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
                return Checkpoint(header["step"], tensors, header["facts"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
