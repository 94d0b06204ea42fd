"""A program that ``torch.export.save`` wrote, read without unpickling anything."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from edgewidth.capture.program import own_shape, quiet
from edgewidth.errors import FileError
from edgewidth.files import ARCHIVE_ERRORS
from edgewidth.resolution import resolution_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch.export import ExportedProgram

    from edgewidth.resolution import Resolution

REMEDY = "Write it with torch.export.save(torch.export.export(module.eval(), (images,)), 'network.pt2')."
SAMPLES = "data/sample_inputs/"
"""Pickled always, and not needed: torch reads an empty member as no samples."""
KEPT = re.compile(
    r"models/model\.json|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
)
"""The members that a program is read from; none of them is a pickle unless a ``_config.json`` says so."""
PICKLES = re.compile(r"data/(weights|constants)/(.*\.pt|custom_obj_.*|opaque_obj_.*)|data/aotinductor/.*")
"""Members that torch would unpickle, or run as machine code."""
SYMBOL = re.compile(r"Symbol\('\w+'(, \w+=\w+)*\)")
CALL = re.compile(r"([\w)]+)\s*\(")
FUNCTIONS = {"Add", "Mul", "Pow", "Integer", "Rational", "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CleanDiv"}
"""What the formula of a size that varies may call: torch evaluates it as Python."""


def load_program(path: Path) -> ExportedProgram:
    """The program in a ``.pt2`` file.

    Raises:
        FileError: It is no such file, holds something pickled, or is of a version of torch that this one cannot read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        model = json.loads(members["models/model.json"])
        _refuse_pickles(path, members)
    except FileNotFoundError as error:
        raise FileError(f"{path} is not there.", remedy=REMEDY) from error
    except ARCHIVE_ERRORS as error:
        raise FileError(f"{path} is no program that torch.export.save wrote.", remedy=REMEDY) from error
    if any(not _is_formula(text) for text in _expressions(model)):
        raise FileError(
            f"{path} has a size that is no formula of others; evaluating it would run whatever it says.",
            remedy="Export it for images of one size.",
        )
    try:
        with quiet():
            return torch.export.load(_without_samples(members))
    except Exception as error:
        written = model.get("torch_version", "another version")
        raise FileError(
            f"{path} cannot be read by torch {torch.__version__}; torch {written} wrote it.",
            remedy="Export it again with the torch that is installed here, or give file.py:callable.",
        ) from error


def own_resolution(path: Path) -> Resolution | None:
    """The size of the images that a program is for; None: it takes several.

    Raises:
        FileError: As ``load_program`` says.
        InputError: It takes something else than images.
    """
    _, height, width = own_shape(load_program(path), str(path))
    return None if height is None or width is None else resolution_of(height, width)


def _refuse_pickles(path: Path, members: dict[str, bytes]) -> None:
    pickled = [name for name in members if PICKLES.fullmatch(name)]
    for name, content in members.items():
        if name.endswith("_config.json"):
            config = json.loads(content)["config"]
            pickled += [one["path_name"] for one in config.values() if one["use_pickle"]]
            pickled += [one["path_name"] for one in config.values() if not KEPT.fullmatch(_place(name, one))]
    if pickled:
        raise FileError(
            f"{path} holds something pickled or compiled, {pickled[0]}; unpickling would run whatever it says.",
            remedy="Export the network with ordinary tensors alone as its weights and constants.",
        )


def _place(config: str, entry: dict[str, Any]) -> str:
    return f"{config.rpartition('/')[0]}/{entry['path_name']}"


def _without_samples(members: dict[str, bytes]) -> io.BytesIO:
    """The archive anew, with the members that a program is read from."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            if KEPT.fullmatch(name):
                archive.writestr(f"archive/{name}", content)
        archive.writestr(f"archive/{SAMPLES}model.pt", b"")
    stream.seek(0)
    return stream


def _is_formula(text: str) -> bool:
    """Whether a size is arithmetic on other sizes and nothing else."""
    text = SYMBOL.sub("size", text)
    return re.fullmatch(r"[\w\s+\-*/(),]*", text) is not None and set(CALL.findall(text)) <= FUNCTIONS


def _expressions(content: Any) -> Iterator[str]:
    """All texts that torch would evaluate as sizes."""
    if isinstance(content, dict):
        if isinstance(content.get("expr_str"), str):
            yield content["expr_str"]
        for value in content.values():
            yield from _expressions(value)
    elif isinstance(content, list):
        for value in content:
            yield from _expressions(value)
