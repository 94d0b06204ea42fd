"""Weights in files: safetensors, with what they belong to in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from edgewidth.documents import first_problem
from edgewidth.errors import FileError, MismatchError
from edgewidth.files import write_atomic
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.weights_file import HEADER, PLAIN, REMEDIES, SUPERNET
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.supernet import Supernet
from edgewidth.version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgewidth.records.provenance import Provenance


def save_supernet(supernet: Supernet, path: Path, *, provenance: Provenance | None = None) -> None:
    """Write a supernet's weights with its search space, and what they were made of where that is known.

    Raises:
        StorageError: It cannot be written.
    """
    _write(supernet, path, {"schema": SUPERNET, "space": supernet.space.model_dump_json()}, provenance)


def is_supernet(path: Path) -> bool:
    """Whether a file of weights is a supernet's, whose first channels are the most important ones already.

    Raises:
        FileError: It cannot be read.
    """
    return read_tensors(path)[1].get("schema") == SUPERNET


def load_supernet(path: Path, space: SearchSpace | None = None) -> Supernet:
    """Read what ``save_supernet`` wrote.

    Raises:
        FileError: Not a supernet, or it cannot be read, or its training has diverged.
        MismatchError: It is of another search space than ``space``.
    """
    tensors, header = _read(path, SUPERNET)
    own = _space(header, path)
    if space is not None and space.fingerprint != own.fingerprint:
        raise MismatchError(
            f"{path} is a supernet of another search space; {space.differences(own)}.",
            remedy="Train a supernet for this one, or begin with it as `weights`.",
        )
    supernet = Supernet(own)
    _load(supernet, tensors, path)
    return supernet


def save_plain(network: PlainNetwork, path: Path, *, provenance: Provenance | None = None) -> None:
    """Write a plain network's weights with its search space and configuration, and what they were made of.

    Raises:
        StorageError: It cannot be written.
    """
    header = {"schema": PLAIN, "space": network.space.model_dump_json(), "config": str(network.config)}
    _write(network, path, header, provenance)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str]) -> None:
    """Write weights that belong to no search space yet, with what ``read_tensors`` is to tell of them.

    Raises:
        StorageError: It cannot be written.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(content, {HEADER: json.dumps(header, sort_keys=True)}))


def load_plain(path: Path) -> PlainNetwork:
    """Read what ``save_plain`` wrote.

    Raises:
        FileError: Not such a file, or it cannot be read, or its training has diverged.
    """
    tensors, header = _read(path, PLAIN)
    network = PlainNetwork(_space(header, path), ChannelConfig.parse(str(header.get("config"))))
    _load(network, tensors, path)
    return network


def digest(network: nn.Module) -> str:
    """What tells a network's weights and statistics from all others."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return hashlib.sha256(save(tensors)).hexdigest()


def _write(network: nn.Module, path: Path, header: dict[str, str], provenance: Provenance | None) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One key, because safetensors writes several in any order, and equal weights should be equal files.
    content = {"edgewidth": __version__, **header}
    if provenance:
        content["provenance"] = provenance.model_dump_json()
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
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
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
        if not given.isfinite().all():
            raise FileError(
                f"{path}: {name} holds other values than finite numbers.",
                remedy="Give weights of a training that did not diverge.",
            )
        with torch.no_grad():
            tensor.copy_(given)
