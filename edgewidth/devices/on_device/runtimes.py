"""The runtimes that the runner measures with: how each is imported, and how it runs a model. Python 3.9 and later."""

from __future__ import annotations

from importlib.util import find_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


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
    import onnxruntime  # noqa: PLC0415 - whichever runtime is there

    return onnxruntime


def _load_tflite(interpreter_class: Any, path: str, threads: int) -> Callable[[], object]:
    interpreter = interpreter_class(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    sample = _sampler()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], sample([int(size) for size in tensor["shape"]], tensor["dtype"]))
    return interpreter.invoke  # type: ignore[no-any-return]  # the runtimes ship no types


def _load_onnx(onnxruntime: Any, path: str, threads: int) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": "f4", "tensor(int8)": "i1", "tensor(uint8)": "u1"}
    sample = _sampler()
    feed = {tensor.name: sample(tensor.shape, kinds[tensor.type]) for tensor in session.get_inputs()}
    return lambda: session.run(None, feed)


def _sampler() -> Callable[[Sequence[object], Any], Any]:
    """A function that makes random input of a shape and a type; what is not a number in the shape counts as 1."""
    import numpy as np  # noqa: PLC0415 - the runtimes bring it; facts and state do without

    rng = np.random.default_rng(0)

    def sample(shape: Sequence[object], kind: Any) -> Any:
        sizes = [size if isinstance(size, int) and size > 0 else 1 for size in shape]
        kind = np.dtype(kind)
        if kind.kind == "f":
            return rng.uniform(-1, 1, sizes).astype(kind)
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, sizes, dtype=kind, endpoint=True)

    return sample


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


def load(module: Any, runtime: str, path: str, threads: int) -> Callable[[], object]:
    """A function that runs the model once, on random input that was set beforehand."""
    return _RUNTIMES[runtime][1](module, path, threads)
