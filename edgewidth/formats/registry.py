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
FORMATS: Mapping[FormatName, Format] = {one.name: one for one in _ALL}


def format_of(content: bytes) -> Format:
    """The format of a file, told from the file itself and not from its name.

    Raises:
        FileError: It is of none that is known.
    """
    for one in FORMATS.values():
        if one.recognises(content):
            return one
    raise FileError(f"It is no {' or '.join(f'.{name}' for name in FORMATS)} file.")
