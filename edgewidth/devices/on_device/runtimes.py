"""The runtimes that the runner measures with: how each is imported, and how it runs a model. Python 3.9 and later."""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Json = dict[str, Any]
    Inputs = Sequence[Json] | None


def _import_litert() -> Any:
    # TensorFlow's only where there is no LiteRT, not where that is broken: the facts name LiteRT's version then, and
    # another's times must not go by that name.
    if find_spec("ai_edge_litert") is None:
        from tensorflow.lite.python.interpreter import Interpreter  # noqa: PLC0415 - the same interpreter
    else:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - whichever runtime is there
    return Interpreter


def _import_tflite_runtime() -> Any:
    from tflite_runtime.interpreter import Interpreter  # noqa: PLC0415 - whichever runtime is there

    return Interpreter


def _import_onnxruntime() -> Any:
    # It keeps and sends telemetry otherwise: nobody asked for that, and it would run beside what is measured.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # noqa: PLC0415 - whichever runtime is there

    return onnxruntime


def _load_tflite(
    interpreter_class: Any, path: str, threads: int, inputs: Inputs, entry: Json | None
) -> Callable[[], object]:
    interpreter = interpreter_class(model_path=path, num_threads=threads)
    if inputs is not None and entry is not None:
        return _entered(interpreter, path, inputs, entry)
    details = interpreter.get_input_details()
    if inputs is None:
        inputs = [{"shape": [int(size) for size in one["shape"]], "dtype": one["dtype"]} for one in details]
    for place, tensor in enumerate(details):
        if list(tensor["shape"]) != list(inputs[place]["shape"]):
            interpreter.resize_tensor_input(tensor["index"], inputs[place]["shape"])
    interpreter.allocate_tensors()
    for place, values in enumerate(_values(path, inputs)):
        interpreter.set_tensor(details[place]["index"], values)
    return interpreter.invoke  # type: ignore[no-any-return]  # the runtimes ship no types


def _entered(interpreter: Any, path: str, inputs: Sequence[Json], entry: Json) -> Callable[[], object]:
    """As the interpreter's ``SignatureRunner`` does, which can only do all of it in each call."""
    import numpy as np  # noqa: PLC0415 - see _values

    calls, graph = interpreter._interpreter, entry["graph"]  # noqa: SLF001
    values = {entry["tensors"][place]: one for place, one in enumerate(_values(path, inputs))}
    for tensor, one in values.items():
        calls.ResizeInputTensor(tensor, np.array(one.shape, np.int32), False, graph)
    calls.AllocateTensors(graph)
    for tensor, one in values.items():
        calls.SetTensor(tensor, one, graph)
    return partial(calls.Invoke, graph)


def _load_onnx(onnxruntime: Any, path: str, threads: int, inputs: Inputs, entry: Json | None) -> Callable[[], object]:
    del entry  # there is one
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    tensors = session.get_inputs()
    if inputs is None:
        kinds = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}
        inputs = [{"shape": one.shape, "dtype": kinds[one.type]} for one in tensors]
    feed = {tensors[place].name: values for place, values in enumerate(_values(path, inputs))}
    return lambda: session.run(None, feed)


def values_file(path: str) -> str:
    """Where the values that a model is given lie: beside it."""
    return f"{path}.npz"


def _values(path: str, inputs: Sequence[Json]) -> Iterator[Any]:
    """The values of every input: made up, or read from the file beside the model."""
    import numpy as np  # noqa: PLC0415 - the runtimes bring it; facts and state do without

    rng = np.random.default_rng(0)
    for place, one in enumerate(inputs):
        fill = one.get("values", "random")
        if fill == "given":
            with np.load(values_file(path), allow_pickle=False) as given:
                values = given[str(place)]
            yield values.astype(object) if one["dtype"] == "string" else values
            continue
        kind: Any = np.dtype(one["dtype"])
        if fill == "zeros":
            yield np.zeros(one["shape"], kind)
        elif kind.kind == "f":
            yield np.asarray(rng.uniform(-1, 1, one["shape"]), kind)
        elif kind.kind == "b":
            yield np.asarray(rng.integers(0, 2, one["shape"]), kind)
        else:
            limits = np.iinfo(kind)
            yield rng.integers(limits.min, limits.max, one["shape"], dtype=kind, endpoint=True)


_RUNTIMES = {
    "litert": (_import_litert, _load_tflite),
    "tflite-runtime": (_import_tflite_runtime, _load_tflite),
    "onnxruntime": (_import_onnxruntime, _load_onnx),
}
"""What imports each ``Runtime`` and what loads a model with it; ``vitals.find_runtimes`` tells their versions."""


def import_runtime(runtime: str) -> Any:
    """The module or class that makes interpreters; imported once, before anything is forked.

    Raises:
        ImportError: It is not there.
    """
    return _RUNTIMES[runtime][0]()


def load(
    module: Any, runtime: str, path: str, threads: int, inputs: Inputs = None, entry: Json | None = None
) -> Callable[[], object]:
    """A function that runs the model once, on input that was set beforehand.

    ``inputs`` are the fields of ``ModelInput`` for each; None: random values of the shapes that the file has.
    ``entry`` are those of ``Entry``; None: where the runtime enters by itself.
    """
    return _RUNTIMES[runtime][1](module, path, threads, inputs, entry)
