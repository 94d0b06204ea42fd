"""The texts of a device profile: what may stand in a name, an address, a serial number, a path.

Every check is of the whole text, and its message shows the text so that nothing in it steers a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Everything that starts a new line or steers a terminal."""

PUSH = "push:"
"""What a path begins with that is one on this machine, to be copied to the device."""


def _word(pattern: str, allowed: str) -> Callable[[str], str]:
    """A check that the whole text matches ``pattern``; its message says what is ``allowed``."""
    whole = re.compile(pattern)

    def check(text: str) -> str:
        if not whole.fullmatch(text):
            raise ValueError(f"{text!r} holds what it may not: {allowed}")
        return text

    return check


def _path(text: str) -> str:
    if _CONTROL.search(text) or re.search(r"[;|&$`<>]", text):
        raise ValueError(f"{text!r} holds a control character or one of ; | & $ ` < >")
    if text.startswith("-"):
        raise ValueError(f"{text!r} starts with a dash, like an option: write the whole path")
    return text


def _device_path(text: str) -> str:
    if text.startswith("~"):
        raise ValueError(f"{text!r} starts with ~, which only a shell understands: write the whole path")
    if "/" in text and not text.startswith(("/", PUSH)):
        raise ValueError(f"{text!r} does not say where it begins: write the whole path, from / on")
    return _path(text)


Name = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(_word(r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a name is of letters, digits and . _ + -")),
]
"""A device's name: also safe as a file name."""

Address = Annotated[
    str,
    Field(min_length=1, max_length=255),
    AfterValidator(
        _word(
            r"(?:[A-Za-z0-9_][A-Za-z0-9._+@\\$-]*@)?[A-Za-z0-9_:\[][A-Za-z0-9._:%\[\]-]*",
            r"an address is user@host, DOMAIN\user@host, host or host:port, of letters, digits and . _ : % -",
        )
    ),
]
"""Where a device is in the network; safe as one word of a command line."""

Serial = Annotated[
    str,
    Field(min_length=1, max_length=255),
    AfterValidator(
        _word(
            r"[A-Za-z0-9\[(][A-Za-z0-9._:%+#@,()\[\] -]*(?<! )",
            "a serial number is of letters, digits, spaces inside it and . _ : % + # @ , - ( ) [ ]",
        )
    ),
]
"""A phone as ``adb devices`` lists it, perhaps with spaces; safe as one word of a command line."""

LocalPath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_path)]
"""A path on this machine; may hold spaces and quotes."""

DevicePath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_device_path)]
"""A path on the device, whole or a single name; may hold spaces and quotes, since every transport quotes it."""

Option = Annotated[
    str,
    Field(max_length=1000),
    AfterValidator(
        _word(r"[A-Za-z0-9_.:-]+=[^\x00-\x1f;|&$`<>\"']*", "an option is KEY=VALUE, without quotes and ; | & $ ` < >")
    ),
]
"""An option of a delegate or of an execution provider."""

Provider = Annotated[
    str,
    Field(min_length=1, max_length=60),
    AfterValidator(_word(r"[A-Za-z][A-Za-z0-9]*", "a provider is one word of letters and digits, such as CUDA")),
]
"""An execution provider of ONNX Runtime, without the ending ``ExecutionProvider``."""

VelaName = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(_word(r"[A-Za-z][A-Za-z0-9_]*", "Vela's names are of letters, digits and _")),
]
"""A system configuration or a memory mode, as Vela's files name them."""

Description = Annotated[
    str, Field(max_length=500), AfterValidator(_word(f"(?:(?!{_CONTROL.pattern}).)*", "it is one line of plain text"))
]
