"""What edgewidth and other tools read in an emitted file."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from formats.cases import CLASS_NAMES, TASK
from small_onnx import small_onnx
from small_tflite import small_tflite

from edgewidth.formats.inspect import inspect_model
from edgewidth.formats.registry import format_of
from edgewidth.formats.sizes import METADATA_BYTES
from edgewidth.records.artifact import ArtifactMetadata, Quantisation
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from formats.cases import Exported


@pytest.mark.parametrize("class_names", [("cat", "dog"), tuple(f"{'éx'[i % 2]}" * 40 + str(i) for i in range(500))])
def test_room_for_metadata_is_enough_and_not_much_more(exported: Exported, class_names: tuple[str, ...]) -> None:
    """Also for hundreds of long names, which a .tflite holds twice."""
    found = inspect_model(exported.folder.model(Precision.INT8, FormatName.TFLITE)).metadata
    assert found is not None
    metadata = found.model_copy(update={"class_names": class_names})
    for content in (small_tflite(), small_onnx((8,))):
        file_format = format_of(content)
        size = len(file_format.annotate(content, metadata, TASK.text)) - len(content)
        assert size <= file_format.metadata_bytes(class_names) <= size + METADATA_BYTES


def test_standard_tools_find_the_labels(exported: Exported) -> None:
    """A .tflite is also a zip archive with the label file; an .onnx has the standard image properties."""
    folder = exported.folder
    content = folder.model(Precision.INT8, FormatName.TFLITE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode().splitlines() == list(CLASS_NAMES)
    properties = {p.key: p.value for p in onnx.load(folder.model(Precision.INT8, FormatName.ONNX)).metadata_props}
    assert properties["Image.NominalPixelRange"] == "Normalized_1_1"
    assert properties["Image.BitmapPixelFormat"] == "Rgb8"


def test_the_standard_tflite_metadata_is_a_valid_flatbuffer(exported: Exported) -> None:
    """Walked by the offsets that the schema gives, down to the normalisation and the name of the label file."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers.table import Table

    def child(table: Table, slot: int) -> Table:
        return Table(table.Bytes, table.Indirect(table.Pos + table.Offset(slot)))

    def first(table: Table, slot: int) -> Table:
        return Table(table.Bytes, table.Indirect(table.Vector(table.Offset(slot))))

    model = schema.Model.GetRootAs(exported.folder.model(Precision.INT8, FormatName.TFLITE).read_bytes(), 0)
    entries = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    content = bytes(model.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy())
    assert content[4:8] == b"M001"
    root = Table(content, int.from_bytes(content[:4], "little"))
    graph = first(root, 10)
    source, target = first(graph, 8), first(graph, 10)
    unit = first(source, 12)
    options = child(unit, 6)
    for slot in (4, 6):
        start = options.Vector(options.Offset(slot))
        assert np.frombuffer(content, "<f4", 1, start) == 127.5
    name = first(target, 16)
    assert name.String(name.Pos + name.Offset(4)) == b"labels.txt"


WRITTEN_BY_0_1_0 = """{"schema": "edgewidth/artifact", "schema_version": 1, "edgewidth_version": "0.1.0",
 "network": "mobilenet_v1", "config": "24-64", "precision": "int8", "resolution": 32, "channels": 1, "layout": "NHWC",
 "pixel_mean": 127.5, "pixel_std": 127.5, "input_quantisation": {"scale": 0.0078, "zero_point": -1},
 "output_quantisation": null, "class_names": ["cat", "dog"]}"""


def test_what_the_first_version_wrote_is_read() -> None:
    """Files outlive the edgewidth that made them."""
    found = ArtifactMetadata.parsed(WRITTEN_BY_0_1_0)
    assert found is not None
    assert (str(found.config), found.class_names, found.layout) == ("24-64", ("cat", "dog"), "NHWC")
    assert found.input_quantisation == Quantisation(scale=0.0078, zero_point=-1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "not JSON",
        "{}",
        WRITTEN_BY_0_1_0.replace('"schema_version": 1', '"schema_version": 1000'),
        WRITTEN_BY_0_1_0.replace("edgewidth/artifact", "another/artifact"),
        WRITTEN_BY_0_1_0.replace("127.5", '"bright"'),
    ],
)
def test_what_is_not_our_metadata_is_none(text: str) -> None:
    """Another program's entry, a newer edgewidth's, or a damaged one is no reason to refuse a file."""
    assert ArtifactMetadata.parsed(text) is None
