"""Models in TFLite's format, run by LiteRT or by tflite-runtime. Python 3.9 and later.

LiteRT's ``CompiledModel`` is its way to processor, GPU and NPU. The older ``Interpreter`` is all that tflite-runtime
has; it takes external delegates, and enters a model where a ``CompiledModel`` cannot.
"""

from __future__ import annotations

import re
import time
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

from edgewidth.devices.on_device.loaded import EngineError, Loaded
from edgewidth.devices.on_device.placement import captured_log, of_gpu_log, of_nodes, of_plugin_log
from edgewidth.devices.on_device.values import input_values
from edgewidth.devices.on_device.vitals import has_compiled_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from edgewidth.devices.on_device.loaded import Asked

    Json = dict[str, Any]

_BUFFER_TYPES = {"float32", "float16", "int32", "int8", "uint8", "bool"}
"""What LiteRT's buffers can be given and read as, of NumPy's types."""
_PLACE = r"(?:\[[^\]]*\] *)?"
"""Where in its source LiteRT found an error."""
_RAISED = re.compile(rf"^ERROR: {_PLACE}")
_LOGGED = re.compile(rf"^(?:ERROR: {_PLACE}|Warning: (?=Couldn't ))(?!\[)(\S.*)$", re.MULTILINE)
"""What LiteRT, and Dawn by which it reaches GPUs, log of what failed. Other warnings are of accelerators that nobody
asked for, and of limits that hurt nobody."""


class TfliteModule(NamedTuple):
    """What is imported of a runtime: its interpreter, and the module of ``CompiledModel`` where it has one."""

    interpreter: Any
    compiled: Any = None


def import_litert() -> TfliteModule:
    """LiteRT, or the same in TensorFlow; raises ImportError where there is neither."""
    # TensorFlow's only where there is no LiteRT, not where that is broken: the facts name LiteRT's version then, and
    # another's times must not go by that name.
    if find_spec("ai_edge_litert") is None:
        from tensorflow.lite.python import interpreter  # noqa: PLC0415 - the same interpreter

        return TfliteModule(interpreter)
    from ai_edge_litert import interpreter  # noqa: PLC0415 - whichever runtime is there

    if not has_compiled_model():
        return TfliteModule(interpreter)
    from ai_edge_litert import compiled_model  # noqa: PLC0415 - versions before 2 have none

    return TfliteModule(interpreter, compiled_model)


def import_tflite_runtime() -> TfliteModule:
    """tflite-runtime; raises ImportError where it is not there."""
    from tflite_runtime import interpreter  # noqa: PLC0415 - whichever runtime is there

    return TfliteModule(interpreter)


def load_tflite(module: TfliteModule, asked: Asked) -> Loaded:
    """Load a model, on the accelerator that is asked for.

    Raises:
        EngineError: This version has no way to that accelerator, or the delegate cannot be used.
    """
    accelerator = asked.engine["accelerator"]
    if asked.engine.get("delegate"):
        return _delegated(module, asked)
    if accelerator not in {"cpu", "cpu-builtin"}:
        if module.compiled is None:
            raise EngineError(f"there is no CompiledModel for this processor or version, the way to the {accelerator}")
        return _accelerated(module, asked)
    if module.compiled is not None and _can_compile(module, asked):
        try:
            with captured_log():
                loaded = _timed(lambda: _compiled(module, asked, _on_cpu(module.compiled, asked)))
                begin = time.perf_counter_ns()
                loaded.run()
                return loaded._replace(first_ns=(time.perf_counter_ns() - begin,))
        except RuntimeError:  # outputs whose sizes are known only when it runs are beyond it
            pass
    return _timed(lambda: _interpreted(module, asked))


def _timed(make: Callable[[], Loaded]) -> Loaded:
    """What ``make`` loads, with the time that it took."""
    begin = time.perf_counter_ns()
    loaded = make()
    return loaded._replace(load_ns=time.perf_counter_ns() - begin)


# The interpreter.


def _interpreter(module: TfliteModule, asked: Asked, *, plain: bool = False, delegates: Sequence[Any] = ()) -> Any:
    """An interpreter; ``plain``: without XNNPACK."""
    more: Json = {"experimental_delegates": list(delegates)} if delegates else {}
    if plain:
        kind = module.interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        more["experimental_op_resolver_type"] = kind
    return module.interpreter.Interpreter(model_path=asked.path, num_threads=asked.threads, **more)


def _interpreted(
    module: TfliteModule, asked: Asked, delegates: Sequence[Any] = (), placed: Json | None = None
) -> Loaded:
    plain = asked.engine["accelerator"] == "cpu-builtin"
    interpreter = _interpreter(module, asked, plain=plain, delegates=delegates)
    if asked.inputs is not None and asked.entry is not None:
        return _entered(interpreter, asked, placed)
    for tensor, values in _fed(interpreter, asked):
        interpreter.set_tensor(tensor, values)
    ends = [one["index"] for one in interpreter.get_output_details()]
    return Loaded(interpreter.invoke, lambda: [interpreter.get_tensor(one) for one in ends], placed)


def _fed(interpreter: Any, asked: Asked) -> list[tuple[int, Any]]:
    """Give the interpreter the sizes of its inputs, and room; the inputs' values by tensor."""
    details = interpreter.get_input_details()
    inputs = asked.inputs
    if inputs is None:
        inputs = [{"shape": [int(size) for size in one["shape"]], "dtype": one["dtype"]} for one in details]
    for place, tensor in enumerate(details):
        if list(tensor["shape"]) != list(inputs[place]["shape"]):
            interpreter.resize_tensor_input(tensor["index"], inputs[place]["shape"])
    interpreter.allocate_tensors()
    return [(details[place]["index"], values) for place, values in enumerate(input_values(asked.path, inputs))]


def _entered(interpreter: Any, asked: Asked, placed: Json | None) -> Loaded:
    """As the interpreter's ``SignatureRunner`` does, which can only do all of it in each call."""
    import numpy as np  # noqa: PLC0415 - see values.input_values

    entry, inputs = asked.entry or {}, asked.inputs or ()
    calls, graph = interpreter._interpreter, entry["graph"]  # noqa: SLF001
    values = {entry["tensors"][place]: one for place, one in enumerate(input_values(asked.path, inputs))}
    for tensor, one in values.items():
        calls.ResizeInputTensor(tensor, np.array(one.shape, np.int32), False, graph)
    calls.AllocateTensors(graph)
    for tensor, one in values.items():
        calls.SetTensor(tensor, one, graph)
    return Loaded(partial(calls.Invoke, graph), list, placed)


def _delegated(module: TfliteModule, asked: Asked) -> Loaded:
    """Through an external delegate, with XNNPACK for what that leaves."""
    path, options = asked.engine["delegate"], asked.engine.get("options") or {}
    try:
        delegate = module.interpreter.load_delegate(path, options)
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(f"the delegate {path} could not be loaded: {error}") from error
    # Alone first: XNNPACK is a delegate too, and its nodes look the same.
    alone = _interpreter(module, asked, plain=True, delegates=[delegate])
    _fed(alone, asked)
    placed = of_nodes(_nodes(alone), [one["index"] for one in alone.get_input_details()])
    del alone
    return _timed(lambda: _interpreted(module, asked, [module.interpreter.load_delegate(path, options)], placed))


def _nodes(interpreter: Any) -> list[tuple[str, list[int], list[int]]]:
    found = interpreter._get_ops_details()  # noqa: SLF001 - nothing public tells what a delegate took
    return [(one["op_name"], [int(i) for i in one["inputs"]], [int(i) for i in one["outputs"]]) for one in found]


def _kinds(module: TfliteModule, asked: Asked) -> list[str]:
    """The kinds of the graph's operators, in order."""
    return [node[0] for node in _nodes(_interpreter(module, asked, plain=True))]


# The compiled model.


def _can_compile(module: TfliteModule, asked: Asked) -> bool:
    """Whether a ``CompiledModel`` enters the model where it is to be entered, and can be given its inputs."""
    if asked.entry is not None and not asked.entry["is_signature"]:
        return False
    kinds = [one["dtype"] for one in asked.inputs or ()]
    if asked.inputs is None or asked.entry is None:
        interpreter = _interpreter(module, asked, plain=True)
        if asked.entry is None and len(interpreter.get_signature_list()) > 1:
            return False  # an interpreter enters at the first graph, and the first signature may be of another
        details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
        kinds += [one["dtype"].__name__ for one in details]
    return _BUFFER_TYPES.issuperset(kinds)


def _compiled(module: TfliteModule, asked: Asked, options: Any, placed: Json | None = None) -> Loaded:
    import numpy as np  # noqa: PLC0415 - see values.input_values

    model = module.compiled.CompiledModel.from_file(asked.path, options=options)
    signature, name = 0, next(iter(model.get_signature_list()))
    if asked.entry is not None:
        name, signature = asked.entry["name"], model.get_signature_index(asked.entry["name"])
    details = list(model.get_input_tensor_details(name).values())
    order = _input_order(module, asked, details)
    inputs = asked.inputs
    if inputs is None:
        inputs = [{"shape": details[place]["shape"], "dtype": details[place]["dtype"]} for place in order]
    for place, one in zip(order, inputs):  # noqa: B905 - Python 3.9 has no strict
        if list(details[place]["shape"]) != list(one["shape"]):
            model.resize_input_tensor(place, list(one["shape"]), signature, strict=False)
    sources, targets = model.create_input_buffers(signature), model.create_output_buffers(signature)
    for place, values in zip(order, input_values(asked.path, inputs)):  # noqa: B905 - as above
        sources[place].write(values)
    ends = model.get_output_tensor_details(name).values()
    sizes = [(int(np.prod(one["shape"])), np.dtype(one["dtype"]).type) for one in ends]

    def read() -> list[Any]:
        return [targets[place].read(count, kind) for place, (count, kind) in enumerate(sizes)]

    invoke = partial(model.run_by_index, signature, sources, targets)
    # A GPU returns before it is done; it is when its outputs can be read. A processor's results are where they are.
    run = invoke if placed is None else (lambda: (invoke(), read()))
    return Loaded(run, read, placed)


def _input_order(module: TfliteModule, asked: Asked, details: Sequence[Json]) -> list[int]:
    """The places among a signature's inputs, in the order in which the file has them."""
    if len(details) == 1:
        return [0]
    if asked.entry is not None:
        tensors = list(asked.entry["tensors"])
    else:
        tensors = [one["index"] for one in _interpreter(module, asked, plain=True).get_input_details()]
    places = {one["index"]: place for place, one in enumerate(details)}
    return [places[tensor] for tensor in tensors]


def _on_cpu(compiled: Any, asked: Asked) -> Any:
    cpu = compiled.CpuOptions(num_threads=asked.threads)
    if asked.engine["accelerator"] == "cpu-builtin":
        cpu.kernel_mode = compiled.CpuKernelMode.BUILTIN
    return compiled.Options(hardware_accelerators=compiled.HardwareAccelerator.CPU, cpu_options=cpu)


def _accelerated(module: TfliteModule, asked: Asked) -> Loaded:
    """On the GPU or the NPU alone, or else with the processor for what that leaves."""
    if not _can_compile(module, asked):
        raise EngineError("CompiledModel takes no inputs or outputs of this kind, nor this entry")
    compiled, accelerator = module.compiled, asked.engine["accelerator"]
    flags = compiled.HardwareAccelerator
    first, kinds = flags[accelerator.upper()], _kinds(module, asked)
    log = ""  # of both tries: what could not be loaded is only told of in the first
    for flag in (first, first | flags.CPU):
        options = _on_cpu(compiled, asked)
        options.hardware_accelerators = flag
        _set_options(options, asked.engine.get("options") or {})
        told: list[str] = []
        try:
            with captured_log() as told:
                # Whether all of it is accelerated is not asked of the model: it counts XNNPACK as an accelerator.
                loaded = _timed(partial(_compiled, module, asked, options, {}))
        except RuntimeError as error:
            log += told[0]
            if flag is not first:
                raise EngineError(_reason(log, str(error))) from error
            continue
        if accelerator == "gpu":
            return loaded._replace(placed=of_gpu_log(told[0], kinds, whole=flag is first))
        return loaded._replace(placed=of_plugin_log(told[0], kinds, _schema_names()))
    raise AssertionError  # the last flag returns or raises


def _schema_names() -> list[str]:
    """The names of TFLite's operators by their number."""
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - large, and rarely needed

    numbers = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    return [numbers.get(number, "") for number in range(max(numbers) + 1)]


def _set_options(options: Any, texts: Json) -> None:
    """Set ``gpu.enforce_f32`` = ``true`` and the like: the group of LiteRT's options, and an option in it.

    Raises:
        EngineError: This version does not know it.
    """
    for key, text in texts.items():
        group, _, name = key.partition(".")
        found = getattr(options, f"{group}_options", None)
        if found is None or not hasattr(found, name):
            raise EngineError(f"LiteRT knows no option {key}")
        setattr(found, name, _option(found, name, text))


def _option(group: Any, name: str, text: str) -> Any:
    named = getattr(getattr(type(group), name.upper(), None), "__members__", {})
    if text in named:
        return named[text]
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if text.lstrip("-").isdecimal() else text


def _reason(log: str, error: str) -> str:
    """Why a model could not be loaded: the end of what LiteRT raised, or else what was logged.

    What is raised often has nothing but places in a source. What is logged begins with the cause and ends with its
    effect.
    """
    raised = _RAISED.sub("", (error.strip().splitlines() or [""])[-1].lstrip("└ "))
    logged = _LOGGED.findall(log)
    return raised or "; ".join(dict.fromkeys((logged[0], logged[-1])) if logged else ["LiteRT gives no reason"])
