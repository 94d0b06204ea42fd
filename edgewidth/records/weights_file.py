"""What the header of a weights file says of it, read without any framework."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from edgewidth.documents import first_problem
from edgewidth.errors import FileError, InputError
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.provenance import Facts, Provenance, file_digest
from edgewidth.records.training import START, upgraded

HEADER = "edgewidth"
"""The key of the file's metadata; its value is JSON."""
SUPERNET, PLAIN = "edgewidth/supernet", "edgewidth/weights"
REMEDIES = {
    SUPERNET: "Give a supernet.safetensors as edgewidth train wrote it.",
    PLAIN: "Give a weights.safetensors as edgewidth finetune wrote it.",
}


def supernet_provenance(path: Path) -> Provenance:
    """What a stored supernet was made of; empty: it does not say, as one that was trained in one's own loop.

    Raises:
        FileError: It is not a supernet, or it cannot be read.
    """
    header = _header(path, SUPERNET)
    try:
        if "training" in header:
            return upgraded(json.loads(header["training"]))
        return _provenance(header)
    except (LookupError, TypeError, ValueError) as error:
        raise _unclear(path, SUPERNET, error) from error


def begun_with(supernet: Path | None, weights: Path | None = None) -> str:
    """The digest of the weights that training begins with, or that a supernet began with; empty: random ones.

    ``weights`` are those that are given now; None: a ``supernet``'s own count, where there is one.

    Raises:
        FileError: The supernet is none, or one of them cannot be read.
    """
    if weights is not None:
        return file_digest(weights)
    return supernet_provenance(supernet).inputs.get(START, "") if supernet is not None else ""


def network_facts(path: Path) -> Facts:
    """What the stored weights of a plain network were made of, as far as they say.

    Raises:
        FileError: It is not a file of such weights, or it cannot be read.
    """
    header = _header(path, PLAIN)
    try:
        own: Facts = {
            "search space": SearchSpace.model_validate_json(header["space"]),
            "configuration": ChannelConfig.parse(header["config"]),
        }
        return own | _provenance(header).made_of
    except (LookupError, TypeError, ValueError, InputError) as error:
        raise _unclear(path, PLAIN, error) from error


def _header(path: Path, schema: str) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as stream:
            header: dict[str, str] = json.loads((stream.metadata() or {}).get(HEADER, "{}"))
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise FileError(f"{path} could not be read as safetensors: {error}.", remedy=REMEDIES[schema]) from error
    found = header.get("schema") if isinstance(header, dict) else None
    if found != schema:
        raise FileError(f"{path} is not an {schema} file: its schema is {found!r}.", remedy=REMEDIES[schema])
    return header


def _provenance(header: dict[str, str]) -> Provenance:
    return Provenance.model_validate_json(header["provenance"]) if "provenance" in header else Provenance()


def _unclear(path: Path, schema: str, error: Exception) -> FileError:
    why = first_problem(error) if isinstance(error, ValidationError) else repr(error)
    return FileError(f"{path} does not say what it was made of: {why}.", remedy=REMEDIES[schema])
