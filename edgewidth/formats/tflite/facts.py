"""What a .tflite file says of itself, read field by field: no native code of a runtime sees it, so none can fall over.

The flatbuffer's schema gives every table; a damaged file makes Python raise, wherever it is damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgewidth.errors import FileError, InputError
from edgewidth.formats.format import ModelFacts, TensorFacts
from edgewidth.formats.tflite.metadata import read_tflite_metadata
from edgewidth.records.artifact import Quantisation
from edgewidth.records.inputs import Entry
from edgewidth.records.measurement import (
    FilePrecision,
    FormatName,
    OtherPrecision,
    Precision,
    overall_precision,
)

_TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
_EIGHT_BITS = {"int8", "uint8"}
_WEIGHTED = {
    schema.BuiltinOperator.CONV_2D: 1,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: 1,
    schema.BuiltinOperator.FULLY_CONNECTED: 1,
    schema.BuiltinOperator.TRANSPOSE_CONV: 1,
    schema.BuiltinOperator.CONV_3D: 1,
    schema.BuiltinOperator.BATCH_MATMUL: 1,
}
"""Operators that multiply by weights, and which of their inputs these are."""
_ONE_BY_ONE = {
    schema.BuiltinOperator.QUANTIZE,
    schema.BuiltinOperator.DEQUANTIZE,
    schema.BuiltinOperator.CAST,
    schema.BuiltinOperator.RELU,
    schema.BuiltinOperator.RELU6,
    schema.BuiltinOperator.LOGISTIC,
    schema.BuiltinOperator.TANH,
    schema.BuiltinOperator.GELU,
    schema.BuiltinOperator.HARD_SWISH,
    schema.BuiltinOperator.SOFTMAX,
}
"""Operators whose output has the shape of their input."""
_OPEN = -1
_MOST_SIZES = 64


def tflite_facts(content: bytes, signature: str | None = None) -> ModelFacts:
    """See ``Format.facts``."""
    try:
        return _facts(content, signature)
    except (struct.error, LookupError, ValueError, TypeError, OverflowError, AttributeError, MemoryError) as error:
        raise FileError("It is not a .tflite file, or it is damaged or cut short.") from error


def _facts(content: bytes, signature: str | None) -> ModelFacts:
    model = schema.Model.GetRootAs(content, 0)
    entries = tuple(_entries(model))
    entry = _chosen(entries, signature)
    place = 0 if entry is None else entry.graph
    # What is no signature's own graph may be the body of a loop or a branch, and runs as a part of this one.
    others = {place, *(one.graph for one in entries if one.is_signature)}
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    graph, bodies = graphs[place], [one for i, one in enumerate(graphs) if i not in others]
    operators = _operators(model, (graph, *bodies), len(content))
    _check_whole(model, graph, operators[graph])
    return ModelFacts(
        format=FormatName.TFLITE,
        precision=_precision(operators),
        inputs=_tensors(graph, graph.Inputs, graph.InputsLength()),
        outputs=_tensors(graph, graph.Outputs, graph.OutputsLength()),
        metadata=read_tflite_metadata(content),
        custom_operators=tuple(sorted({name for some in operators.values() for _, name, _ in some if name})),
        entries=entries,
        entry=entry,
    )


def _operators(model: Any, graphs: Sequence[Any], size: int) -> dict[Any, list[tuple[int, str, Any]]]:
    """Every operator of each graph: its number in the schema, its name if it is a custom one, and its table.

    Raises:
        ValueError: They are more than a file of ``size`` bytes can hold, so that its tables lie over each other.
    """
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    found: dict[Any, list[tuple[int, str, Any]]] = {graph: [] for graph in graphs}
    for graph, operators in found.items():
        size -= graph.TensorsLength()
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            size -= 1 + operator.InputsLength() + operator.OutputsLength()
            if size < 0:
                raise ValueError("there are more operators than fit into the file")
            code = codes[operator.OpcodeIndex()]
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            operators.append((number, (code.CustomCode() or b"").decode(errors="replace"), operator))
    return found


def _check_whole(model: Any, graph: Any, operators: Sequence[tuple[int, str, Any]]) -> None:
    """Hold the graph against itself, since flipped bits leave a file that can be read and computes something else.

    Every tensor that is read is an input, a constant, a state or was written before, and operators that compute each
    number by itself keep the shape.

    Raises:
        ValueError: It is not so.
    """
    if not graph.TensorsLength() or not graph.OutputsLength():
        raise ValueError("the graph is empty")
    there = {graph.Inputs(i) for i in range(graph.InputsLength())}
    for number, _, operator in operators:
        sources = [operator.Inputs(i) for i in range(operator.InputsLength())]
        targets = [operator.Outputs(i) for i in range(operator.OutputsLength())]
        if lacking := [i for i in sources if i >= 0 and i not in there and not _holds(model, graph.Tensors(i))]:
            raise ValueError(f"nothing writes tensor {lacking[0]}")
        there.update(targets)
        shapes = [_stored_shape(graph.Tensors(some[0])) for some in (sources, targets) if number in _ONE_BY_ONE]
        if shapes and shapes[0] != shapes[1]:
            raise ValueError(f"the shapes of tensors {sources[0]} and {targets[0]} contradict each other")
    outputs = [graph.Outputs(i) for i in range(graph.OutputsLength())]
    if lacking := [i for i in outputs if i not in there and not _holds(model, graph.Tensors(i))]:
        raise ValueError(f"nothing writes the output {lacking[0]}")


def _holds(model: Any, tensor: Any) -> bool:
    """Whether a tensor has values that no operator gives it: it is a constant, perhaps an empty one, or a state."""
    buffer = model.Buffers(tensor.Buffer())
    return bool(buffer.DataLength() or buffer.Size() or 0 in _stored_shape(tensor) or tensor.IsVariable())


def _stored_shape(tensor: Any) -> list[int]:
    if tensor.ShapeLength() > _MOST_SIZES:
        raise ValueError("a tensor has more sizes than any runtime takes")
    return [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]


def _entries(model: Any) -> Iterator[Entry]:
    """The signatures; in a file without any the graphs, which may also be the bodies of loops."""
    found = [model.SignatureDefs(i) for i in range(model.SignatureDefsLength())]
    named = [(one.SignatureKey(), int(one.SubgraphIndex())) for one in found]
    named = named or [(model.Subgraphs(i).Name(), i) for i in range(model.SubgraphsLength())]
    for name, place in sorted(named, key=lambda one: one[1]):
        graph = model.Subgraphs(place)
        tensors = tuple(int(graph.Inputs(i)) for i in range(graph.InputsLength()))
        yield Entry((name or str(place).encode()).decode(errors="replace"), place, tensors, bool(found))


def _chosen(entries: Sequence[Entry], signature: str | None) -> Entry | None:
    """The entry of a name, or the first; None: there is one graph, without a signature."""
    if signature is None:
        return entries[0] if entries and entries[0].graph == 0 else None
    for one in entries:
        if one.name == signature:
            return one
    raise InputError(
        f"The model has no signature {signature}.",
        remedy=f"There are: {', '.join(one.name for one in entries)}; without `signature` the first graph is measured.",
    )


def _tensors(graph: Any, indices: Any, count: int) -> tuple[TensorFacts, ...]:
    return tuple(_tensor_facts(graph.Tensors(indices(i))) for i in range(count))


def _tensor_facts(tensor: Any) -> TensorFacts:
    shape = _stored_shape(tensor)
    signature = [int(tensor.ShapeSignature(i)) for i in range(tensor.ShapeSignatureLength())]
    quantisation, scale = tensor.Quantization(), 0.0
    if quantisation is not None and quantisation.ScaleLength() == 1:
        scale = float(quantisation.Scale(0))
    zero_point = int(quantisation.ZeroPoint(0)) if scale and quantisation.ZeroPointLength() else 0
    sizes = signature if len(signature) == len(shape) else shape
    if any(size < _OPEN for size in sizes):
        raise ValueError("a size is negative")
    return TensorFacts(
        name=(tensor.Name() or b"").decode(errors="replace"),
        shape=tuple(sizes),
        dtype=_TYPES[tensor.Type()],
        quantisation=Quantisation(scale=scale, zero_point=zero_point) if scale else None,
    )


def _precision(graphs: Mapping[Any, Sequence[tuple[int, str, Any]]]) -> FilePrecision:
    """By what is multiplied with weights, in graphs with their operators; without any, by what operators give."""
    found = {one for graph, operators in graphs.items() for one in _multiplications(graph, operators)}
    if found:
        return overall_precision(found)
    given = (
        _TYPES[graph.Tensors(operator.Outputs(i)).Type()]
        for graph, operators in graphs.items()
        for _, _, operator in operators
        for i in range(operator.OutputsLength())
    )
    return Precision.INT8 if _EIGHT_BITS & set(given) else Precision.FLOAT32


def _multiplications(graph: Any, operators: Sequence[tuple[int, str, Any]]) -> Iterator[FilePrecision]:
    """The precision of every operator that multiplies by weights."""
    tensors = [_TYPES[graph.Tensors(i).Type()] for i in range(graph.TensorsLength())]
    # Weights that are stored as float16 reach the operator as float32, through an operator of their own.
    made_from = {
        operator.Outputs(0): tensors[operator.Inputs(0)]
        for number, _, operator in operators
        if number == schema.BuiltinOperator.DEQUANTIZE
    }
    for number, _, operator in operators:
        if number in _WEIGHTED and operator.InputsLength() > _WEIGHTED[number]:
            # A transposed convolution reads its output's shape first, so that what it convolves comes last.
            source = operator.Inputs(2 if number == schema.BuiltinOperator.TRANSPOSE_CONV else 0)
            weights = operator.Inputs(_WEIGHTED[number])
            yield _multiplied(tensors[source], made_from.get(weights, tensors[weights]))


def _multiplied(source: str, weights: str) -> FilePrecision:
    if source in _EIGHT_BITS:
        return Precision.INT8
    if source == "int16":
        return OtherPrecision.INT16X8
    if weights in {*_EIGHT_BITS, "int4"}:
        return Precision.DYNAMIC_INT8
    return Precision.FLOAT16 if "float16" in {source, weights} else Precision.FLOAT32
