"""Weights in files: safetensors, with what they belong to in the header."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

import edgewidth
from edgewidth.documents import first_problem
from edgewidth.errors import FileError, MismatchError
from edgewidth.files import write_atomic
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.training import SupernetTraining
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.supernet import Supernet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

HEADER = "edgewidth"
"""The key of the file's metadata; its value is JSON."""
SUPERNET, PLAIN = "edgewidth/supernet", "edgewidth/weights"
REMEDIES = {
    SUPERNET: "Give a supernet.safetensors as edgewidth train wrote it.",
    PLAIN: "Give a weights.safetensors as edgewidth finetune wrote it.",
}


def save_supernet(supernet: Supernet, path: Path, *, training: SupernetTraining | None = None) -> None:
    """Write a supernet's weights with its search space, and what it was trained with where that is known.

    Raises:
        StorageError: It cannot be written.
    """
    header = {"schema": SUPERNET, "space": supernet.space.model_dump_json()}
    _write(supernet, path, header | ({"training": training.model_dump_json()} if training else {}))


def supernet_training(path: Path) -> SupernetTraining | None:
    """What a stored supernet was trained with; None: it does not say, as one that was trained in one's own loop.

    Raises:
        FileError: Not a supernet, or it cannot be read.
    """
    header = _read(path, SUPERNET)[1]
    try:
        return SupernetTraining.model_validate_json(header["training"]) if "training" in header else None
    except ValidationError as error:
        raise FileError(f"{path} does not say what it was trained with: {first_problem(error)}.") from error


def is_supernet(path: Path) -> bool:
    """Whether a file of weights is a supernet's, whose first channels are the most important ones already.

    Raises:
        FileError: It cannot be read.
    """
    return read_tensors(path)[1].get("schema") == SUPERNET


def fingerprint(path: Path) -> str:
    """16 hexadecimal digits that differ when anything in a file differs.

    Raises:
        FileError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise FileError(
            f"{path} could not be read: {error.strerror}.", remedy="Give a file that is there and may be read."
        ) from error


def load_supernet(path: Path, space: SearchSpace | None = None) -> Supernet:
    """Read what ``save_supernet`` wrote.

    Raises:
        FileError: Not a supernet, or it cannot be read.
        MismatchError: It is of another search space than ``space``.
    """
    tensors, header = _read(path, SUPERNET)
    own = _space(header, path)
    if space is not None and space.fingerprint != own.fingerprint:
        raise MismatchError(
            f"{path} is a supernet of another search space; {space.differences(own)}.",
            remedy="Train a supernet for this one, or begin with it as --weights.",
        )
    supernet = Supernet(own)
    _load(supernet, tensors, path)
    return supernet


def save_plain(network: PlainNetwork, path: Path, *, start: str = "") -> None:
    """Write a plain network's weights with its search space and configuration, and what its training began with.

    Raises:
        StorageError: It cannot be written.
    """
    header = {"schema": PLAIN, "space": network.space.model_dump_json(), "config": str(network.config)}
    _write(network, path, header | ({"start": start} if start else {}))


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write weights that belong to no search space yet, as other programs do.

    Raises:
        StorageError: It cannot be written.
    """
    write_atomic(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def load_plain(path: Path) -> PlainNetwork:
    """Read what ``save_plain`` wrote.

    Raises:
        FileError: Not such a file, or it cannot be read.
    """
    tensors, header = _read(path, PLAIN)
    network = PlainNetwork(_space(header, path), ChannelConfig.parse(str(header.get("config"))))
    _load(network, tensors, path)
    return network


def digest(network: nn.Module) -> str:
    """What tells a network's weights and statistics from all others."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return hashlib.sha256(save(tensors)).hexdigest()


def _write(network: nn.Module, path: Path, header: dict[str, str]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One key, because safetensors writes several in any order, and equal weights should be equal files.
    content = {"edgewidth": edgewidth.__version__, **header}
    write_atomic(path, save(tensors, {HEADER: json.dumps(content, sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file by name, and what edgewidth wrote of them; empty if another program did.

    Raises:
        FileError: It cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            header = json.loads((stream.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise FileError(
            f"{path} could not be read as safetensors: {error}.",
            remedy="Give a .safetensors file; weights that torch.save wrote become one with "
            "safetensors.torch.save_file(torch.load('weights.pt'), 'weights.safetensors').",
        ) from error
    return tensors, header if isinstance(header, dict) else {}


def _read(path: Path, schema: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors, header = read_tensors(path)
    if header.get("schema") != schema:
        raise FileError(
            f"{path} is not an {schema} file: its schema is {header.get('schema')!r}.", remedy=REMEDIES[schema]
        )
    return tensors, header


def _space(header: dict[str, str], path: Path) -> SearchSpace:
    try:
        return SearchSpace.model_validate_json(header.get("space", ""))
    except ValidationError as error:
        remedy = REMEDIES[header["schema"]]
        raise FileError(f"{path} does not describe its search space: {first_problem(error)}.", remedy=remedy) from error


def is_number(tensor: Tensor) -> bool:
    """Floating-point of 16 bits or more: with fewer, it is part of a quantised network and wants its scales."""
    return tensor.is_floating_point() and tensor.dtype.itemsize >= 2


def _load(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    for name, tensor in own.items():
        given = tensors.get(name)
        if given is None or given.shape != tensor.shape or not is_number(given):
            raise FileError(
                f"{path}: {name} is missing, or has another shape or type than the network's.",
                remedy="Give the file as edgewidth wrote it; this one is damaged or was changed.",
            )
        with torch.no_grad():
            tensor.copy_(given)
