"""Models in ONNX format, run by ONNX Runtime with its execution providers. Python 3.9 and later."""

from __future__ import annotations

import os
from importlib import import_module

from edgewidth.devices.on_device.loaded import EngineError, Loaded
from edgewidth.devices.on_device.placement import of_onnx_nodes
from edgewidth.devices.on_device.values import input_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from edgewidth.devices.on_device.loaded import Asked

    Json = dict[str, Any]

_CPU = "CPUExecutionProvider"
_EXACT = "session.x64quantprecision"
"""On x86-64 processors without VNNI the quick sums of int8 products saturate at 16 bits unless this is on, which can
cost a file points of its accuracy. Elsewhere it changes nothing."""
_TYPES = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8", "tensor(float16)": "float16"}


def import_onnxruntime() -> Any:
    """ONNX Runtime; raises ImportError where it is not there."""
    # It keeps and sends telemetry otherwise: nobody asked for that, and it would run beside what is measured.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # noqa: PLC0415 - whichever runtime is there

    return onnxruntime


def load_onnx(onnxruntime: Any, asked: Asked) -> Loaded:
    """Load a model, with the execution provider that is asked for, and the processor for what that leaves.

    Raises:
        EngineError: The provider is not there, or does not start.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = asked.threads, 1
    options.add_session_config_entry(_EXACT, "1")
    provider = asked.engine.get("provider")
    if not provider:
        session = onnxruntime.InferenceSession(asked.path, options, providers=[_CPU])
        return _fed(session, asked, None)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = _session(onnxruntime, asked, options, f"{provider}ExecutionProvider")
    return _fed(session, asked, _placed(session, f"{provider}ExecutionProvider"))


def _fed(session: Any, asked: Asked, where: Json | None) -> Loaded:
    tensors = session.get_inputs()
    inputs = asked.inputs
    if inputs is None:
        inputs = [{"shape": one.shape, "dtype": _TYPES[one.type]} for one in tensors]
    feed = {tensors[place].name: values for place, values in enumerate(input_values(asked.path, inputs))}
    latest: list[Any] = []

    def run() -> None:
        latest[:] = session.run(None, feed)

    return Loaded(run, lambda: latest, where)


def _session(onnxruntime: Any, asked: Asked, options: Any, provider: str) -> Any:
    library, texts = asked.engine.get("library"), asked.engine.get("options") or {}
    if library is None:
        there = onnxruntime.get_available_providers()
        if provider not in there:
            raise EngineError(f"this onnxruntime has no {provider}; it has {', '.join(there)}")
        return onnxruntime.InferenceSession(asked.path, options, providers=[(provider, texts), _CPU])
    try:
        onnxruntime.register_execution_provider_library(provider, _library(library))
    except Exception as error:
        raise EngineError(f"the provider's library {library} could not be used: {error}") from error
    devices = onnxruntime.get_ep_devices()
    mine = [one for one in devices if one.ep_name.lower() == provider.lower()]
    if not mine:
        names = sorted({one.ep_name for one in devices} - {_CPU})
        raise EngineError(f"{library} brings no {provider} for this machine, but {', '.join(names) or 'none'}")
    options.add_provider_for_devices(_preferred(mine, asked.engine["accelerator"]), texts)
    return onnxruntime.InferenceSession(asked.path, options)


def _library(given: str) -> str:
    """The path of a plug-in: itself, or that which a Python package of this name tells."""
    if "/" in given:
        return given
    path: str = import_module(given).get_library_path()
    return path


def _preferred(devices: Sequence[Any], accelerator: str) -> list[Any]:
    """The first device of the accelerator's kind; the first of any where a plug-in has none."""
    kinds = [one.device.type.name.lower() for one in devices]
    return [devices[kinds.index(accelerator)] if accelerator in kinds else devices[0]]


def _placed(session: Any, provider: str) -> Json | None:
    """Where the nodes run; None: this version does not tell."""
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    if tell is None:
        return None
    graphs = [(one.ep_name, one.get_nodes()) for one in tell()]
    nodes = [(name, node.op_type, node.name) for name, some in graphs for node in some]
    parts = [len(some) for name, some in graphs if name.lower() == provider.lower()]
    return of_onnx_nodes(nodes, provider, parts=parts)
