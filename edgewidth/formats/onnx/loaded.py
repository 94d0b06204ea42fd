"""Running .onnx files on this machine with ONNX Runtime."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# It keeps and sends telemetry otherwise, which nobody asked for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from edgewidth.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ERRORS_ONLY = 3
_EXACT = "session.x64quantprecision"
"""As on devices, see ``edgewidth.devices.on_device.ort``, whose modules stand alone: for sums of int8 products that do
not saturate."""


class LoadedOnnx:
    """One file. ONNX Runtime allows several threads to run one session.

    Raises:
        FileError: Not an .onnx file, a damaged one, or one with operators that ONNX Runtime does not have.
    """

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry(_EXACT, "1")
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            raise FileError(_explanation(error)) from error
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def clone(self) -> LoadedOnnx:
        """The same: ONNX Runtime's session serves several threads."""
        return self

    def run(self, value: NDArray[Any]) -> NDArray[Any]:
        """The first output for one input, both as stored and with their batch axis."""
        output: NDArray[Any] = self._session.run([self._output], {self._input: value})[0]
        return output


def _explanation(error: Exception) -> str:
    reason = str(error).rpartition(" : ")[2].strip() or type(error).__name__
    if "INVALID_PROTOBUF" in str(error) or "ModelProto" in str(error):
        return "It is not an .onnx file, or it is damaged or cut short."
    return f"ONNX Runtime cannot load it: {reason.splitlines()[0].rstrip('.')}."
