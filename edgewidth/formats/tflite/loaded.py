"""Running .tflite files on this machine with LiteRT."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ai_edge_litert.interpreter import Interpreter

from edgewidth.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STDERR = 2
_redirection = threading.Lock()


class LoadedTflite:
    """One file, loaded for one thread.

    Raises:
        FileError: Not a .tflite file, a damaged one, or one with operators that LiteRT does not have.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        try:
            with _without_native_chatter():
                self._interpreter = Interpreter(model_content=content, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise FileError(_explanation(str(error))) from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def clone(self) -> LoadedTflite:
        """The same file loaded again, for another thread."""
        return LoadedTflite(self._content)

    def run(self, value: NDArray[Any]) -> NDArray[Any]:
        """The first output for one input, both as stored and with their batch axis."""
        self._interpreter.set_tensor(self._input, value)
        self._interpreter.invoke()
        output: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return output


def _explanation(message: str) -> str:
    if "valid Flatbuffer" in message or "schema version" in message:
        return "It is not a .tflite file, or it is damaged or cut short."
    first = message.strip().splitlines()[0] if message.strip() else "no reason given"
    return f"LiteRT cannot load it: {first.rstrip('.')}."


@contextlib.contextmanager
def _without_native_chatter() -> Iterator[None]:
    """LiteRT's C++ says once on standard error that it uses XNNPACK, and offers no switch; its errors are raised."""
    with _redirection:
        kept = os.dup(_STDERR)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, _STDERR)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            os.close(nowhere)
