"""Constants that an .onnx file keeps in files beside it, as exporters write them for large models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor, uses_external_data

from edgewidth.errors import FileError
from edgewidth.formats.onnx.facts import read_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 2_000_000_000
"""A protocol buffer is at most so large."""


def gathered(content: bytes, folder: Path) -> bytes:
    """See ``Format.gathered``."""
    model = read_onnx(content)
    outside = [tensor for tensor in _tensors(model.graph) if uses_external_data(tensor)]
    if not outside:
        return content
    places = {ExternalDataInfo(tensor).location for tensor in outside}
    for place in sorted(places):
        _check(folder, place)
    size = sum((folder / place).stat().st_size for place in places)
    if len(content) + size > MOST_BYTES:
        raise FileError(
            f"It keeps {size / 1e9:.3g} GB in {', '.join(sorted(places))}; with more than 2 GB it cannot be measured."
        )
    for tensor in outside:
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:  # what it raises has no common base
            raise FileError(f"Its constant {tensor.name} cannot be read from {folder}: {error}.") from error
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    return bytes(model.SerializeToString())


def _check(folder: Path, place: str) -> None:
    path = folder / place
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FileError(f"It keeps constants in {place}, which is outside of its own folder.")
    if not path.is_file():
        raise FileError(
            f"It keeps constants in {place}, which is not beside it.", remedy="Put that file into its folder."
        )


def _tensors(graph: Any) -> Iterator[Any]:
    """All constants of a graph and of the graphs inside of its operators."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)
