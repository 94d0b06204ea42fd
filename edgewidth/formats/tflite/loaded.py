"""Running .tflite files on this machine with LiteRT, and what they say of themselves."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgewidth.errors import FileError
from edgewidth.formats.format import ModelFacts, TensorFacts
from edgewidth.formats.tflite.metadata import read_tflite_metadata
from edgewidth.records.artifact import Quantisation
from edgewidth.records.measurement import FormatName, Precision

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

    @cached_property
    def facts(self) -> ModelFacts:
        """What the file says of itself."""
        return ModelFacts(
            format=FormatName.TFLITE,
            precision=_precision(self._content),
            inputs=tuple(map(_tensor_facts, self._interpreter.get_input_details())),
            outputs=tuple(map(_tensor_facts, self._interpreter.get_output_details())),
            metadata=read_tflite_metadata(self._content),
        )

    def clone(self) -> LoadedTflite:
        """The same file loaded again, for another thread."""
        return LoadedTflite(self._content)

    def run(self, value: NDArray[Any]) -> NDArray[Any]:
        """The first output for one input, both as stored and with their batch axis."""
        self._interpreter.set_tensor(self._input, value)
        self._interpreter.invoke()
        output: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return output


def _tensor_facts(details: dict[str, Any]) -> TensorFacts:
    scale, zero_point = details["quantization"]
    quantisation = Quantisation(scale=float(scale), zero_point=int(zero_point)) if scale else None
    shape = details.get("shape_signature", details["shape"])
    return TensorFacts(details["name"], tuple(map(int, shape)), details["dtype"].__name__, quantisation)


def _precision(content: bytes) -> Precision:
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    eight_bits = {schema.TensorType.INT8, schema.TensorType.UINT8}
    for operator in map(graph.Operators, range(graph.OperatorsLength())):
        outputs = map(operator.Outputs, range(operator.OutputsLength()))
        if any(graph.Tensors(output).Type() in eight_bits for output in outputs):
            return Precision.INT8
    return Precision.FLOAT32


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
