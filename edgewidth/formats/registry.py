"""All formats, by name and by what a file says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgewidth.errors import FileError
from edgewidth.formats.onnx.format import OnnxFormat
from edgewidth.formats.tflite.format import TfliteFormat

if TYPE_CHECKING:
    from edgewidth.formats.format import Format
    from edgewidth.records.measurement import FormatName

_ALL: tuple[Format, ...] = (TfliteFormat(), OnnxFormat())
_BEGINNING = 64
_OTHERS = {
    b"git-lfs.github.com": ("a note of Git LFS where the model is", "Fetch the model itself: git lfs pull"),
    b"<html": ("a web page", "Download the file itself."),
    b"<!DOCTYPE html": ("a web page", "Download the file itself."),
    b"\x1f\x8b": ("packed with gzip", "Unpack it."),
    b"PK\x03\x04": ("a zip archive, as torch's files, bundles of MediaPipe and downloads are", "Unpack or convert it."),
    b"\x89HDF": ("an HDF5 file of Keras", "Convert it to .tflite first."),
    b"ORTM": ("ONNX Runtime's own format", "Take the .onnx file that it was made of."),
}
"""What people have under a model's name, by bytes near its beginning: what it is, and what to do."""
FORMATS: Mapping[FormatName, Format] = {one.name: one for one in _ALL}


def format_of(content: bytes) -> Format:
    """The format of a file, told from the file itself and not from its name.

    Raises:
        FileError: It is of none that is known.
    """
    for one in FORMATS.values():
        if one.recognises(content):
            return one
    beginning = content[:_BEGINNING]
    kind, remedy = next((told for begins, told in _OTHERS.items() if begins in beginning), (None, None))
    raise FileError(
        f"It is no {' or '.join(f'.{name}' for name in FORMATS)} file{f', but {kind}' if kind else ''}.", remedy=remedy
    )
