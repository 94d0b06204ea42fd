"""The runtimes that the runner measures with: how each is imported, and what loads a model with it.

Python 3.9 and later. A new runtime is a file beside this one and an entry here; ``vitals.find_runtimes`` tells its
version.
"""

from __future__ import annotations

from edgewidth.devices.on_device.ort import import_onnxruntime, load_onnx
from edgewidth.devices.on_device.tflite import import_litert, import_tflite_runtime, load_tflite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgewidth.devices.on_device.loaded import Asked, Loaded

_RUNTIMES = {
    "litert": (import_litert, load_tflite),
    "tflite-runtime": (import_tflite_runtime, load_tflite),
    "onnxruntime": (import_onnxruntime, load_onnx),
}
"""What imports each ``Runtime`` and what loads a model with it."""


def import_runtime(runtime: str) -> Any:
    """The module or class that makes interpreters; imported once, before anything is forked.

    Raises:
        ImportError: It is not there.
    """
    return _RUNTIMES[runtime][0]()


def load(module: Any, asked: Asked) -> Loaded:
    """A model, loaded and its inputs set.

    Raises:
        EngineError: The runtime cannot do what is asked.
    """
    return _RUNTIMES[asked.engine["runtime"]][1](module, asked)
