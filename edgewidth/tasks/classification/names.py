"""The names of classes, which stand in labels.txt, one on every line."""

from __future__ import annotations

import unicodedata

from edgewidth.errors import DataError


def class_name(text: str, where: str) -> str:
    """A class's name as files tell it, in composed letters; ``where`` says whose it is.

    Raises:
        DataError: It is no text, empty, or has a character that does not stand in a line.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} has bytes in its name that are not UTF-8.", remedy="Rename it.") from error
    if not text.strip() or any(unicodedata.category(letter) in {"Cc", "Zl", "Zp"} for letter in text):
        raise DataError(
            f"{where} has a name that is no line of text, as labels.txt needs.", remedy="Rename it, in one line."
        )
    return unicodedata.normalize("NFC", text)
