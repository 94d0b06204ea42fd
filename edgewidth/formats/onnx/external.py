"""Constants that an .onnx file keeps in files beside it, as exporters write them for large models."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor, uses_external_data

from edgewidth.errors import FileError
from edgewidth.formats.onnx.facts import read_onnx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST_BYTES = 2_000_000_000
"""A protocol buffer is at most so large."""


def gathered(content: bytes, path: Path) -> bytes:
    """See ``Format.gathered``."""
    model = read_onnx(content)
    tensors = (*_of_graph(model.graph), *(one for function in model.functions for one in _of_nodes(function.node)))
    outside = [tensor for tensor in tensors if uses_external_data(tensor)]
    if not outside:
        return content
    size = len(content)
    for tensor in outside:
        try:
            with warnings.catch_warnings(action="ignore"):  # of what it does not know there, which runtimes ignore too
                info = ExternalDataInfo(tensor)
                place = _place(path, info.location)
                size += place.stat().st_size - (info.offset or 0) if info.length is None else info.length
                if size <= MOST_BYTES:
                    _load(tensor, place)
        except FileError:
            raise
        except Exception as error:  # what onnx raises has no common base
            raise FileError(f"Its constant {tensor.name} cannot be read from {path.parent}: {error}.") from error
        if size > MOST_BYTES:
            raise FileError("With what it keeps in other files it has more than 2 GB, and cannot be measured.")
    return bytes(model.SerializeToString())


def _place(path: Path, location: str) -> Path:
    """Where a file of constants is, links followed: below the model's own folder.

    One with a plain name may also be where the model itself is, if that is a link: Hugging Face's cache keeps all files
    in one folder, under other names, and links to them.
    """
    name, place = location or "a file without a name", (path.parent / location).resolve()
    together = "/" not in location and place.parent == path.resolve().parent
    if not together and not place.is_relative_to(path.parent.resolve()):
        raise FileError(f"It keeps constants in {name}, which is outside of its own folder.")
    if not place.is_file():
        raise FileError(
            f"It keeps constants in {name}, which is not beside it.", remedy="Put that file into its folder."
        )
    return place


def _load(tensor: Any, place: Path) -> None:
    """Put a constant into the model; onnx itself follows no links."""
    for entry in tensor.external_data:
        if entry.key == "location":
            entry.value = place.name
    load_external_data_for_tensor(tensor, str(place.parent))


def _of_graph(graph: Any) -> Iterator[Any]:
    """All constants of a graph and of the graphs inside of its operators."""
    yield from graph.initializer
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _of_graph(inner)
