"""Code of the user's or of a package of theirs: run so that what it raises is told, with the lines that are theirs."""

from __future__ import annotations

import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgewidth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
EDGEWIDTH = Path(__file__).parents[1]
STANDARD_LIBRARY = Path(inspect.__file__).parent
MOST_LINES = 5
"""Of the user's own traceback."""


def guarded(text: str, action: Callable[[], T]) -> T:
    """Run the user's own code; what it raises is told with their lines.

    Raises:
        InputError: It raised, or would have ended the program.
    """
    try:
        return action()
    except SystemExit as error:
        raise InputError(
            f"{text} ends the program while its network is made; it raises {told(error)}",
            remedy="Read arguments, and do whatever a script does, below if __name__ == '__main__'.",
        ) from error
    except Exception as error:
        raise InputError(f"{text} raises {told(error)}", remedy="Run it in Python by itself first.") from error


def told(error: BaseException) -> str:
    """An exception with the lines of the user's own code that led to it: none of Python's, torch's or edgewidth's."""
    name, reason = type(error).__name__, str(error).strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(frame.filename)]
    lines = [f"  {frame.filename}:{frame.lineno}  {frame.line}" for frame in frames[-MOST_LINES:]]
    if isinstance(error, SyntaxError) and error.filename:
        lines, reason = [f"  {error.filename}:{error.lineno}  {(error.text or '').strip()}"], error.msg
    return "\n".join([f"{name}: {reason}" if reason else f"{name}.", *lines])


def is_users(file: str) -> bool:
    """Whether a file is the user's or a package of theirs: neither torch's nor edgewidth's nor a part of Python."""
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    if file.startswith("<") or (path.is_relative_to(STANDARD_LIBRARY) and not installed):
        return False
    torch = getattr(sys.modules.get("torch"), "__file__", None)
    return not (path.is_relative_to(EDGEWIDTH) or (torch and path.is_relative_to(Path(torch).parent)))
