"""Where a runtime placed the operators of a model, as it tells. Standard library only, Python 3.9 and later.

No runtime raises where an accelerator takes nothing: the model runs on the processor, and only a log, a list of nodes
or a flag says so. What they say ends up here in one form, a dictionary:

- ``operators``, ``accelerated``: how many there are, and how many of them the accelerator has;
- ``partitions``: into how many parts these fell, None where that is not told;
- ``left``: the kinds of operators that the processor has, each once;
- ``left_at``: which these are, by their place in a TFLite graph or the name of an ONNX node, None where not told;
- ``processor``: what the accelerator calls itself, None where it does not.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Json = dict[str, Any]
    Node = tuple[str, Sequence[int], Sequence[int]]

_WIDENED = "DEQUANTIZE"
DELEGATE = "DELEGATE"
"""The kind of a node that stands for what a delegate took."""
_REPLACED = re.compile(
    r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((\S+?)\) node, yielding (\d+) partition"
)
_SPLIT = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU")
_REFUSED = re.compile(r"^(?:.*: )?([A-Z][A-Z0-9_]+): ", re.MULTILINE)
_SELECTED = re.compile(r"selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions")
_APPLIED = re.compile(r"(\d+) compiler plugins were applied successfully")
_UNKNOWN_TYPE = re.compile(r"op type (\d+) is not supported")
_ADAPTER = re.compile(r"Selected adapter: ([^,\n]+)")
_INTEL = re.compile(r"Using (Intel OpenVINO) device: (\w+)")
_PLACED_ON = re.compile(r"(All nodes|Node\(s\)) placed on \[(\w+)\]\. Number of nodes: (\d+)")
_PLACED_NODE = re.compile(r"VerifyEachNodeIsAssignedToAnEp\]\s+(\w+) \((.*)\)$")
_ADDED = re.compile(r"(Transpose|Memcpy)(_token_\d+)?")
_CPU_DELEGATE = "TfLiteXNNPackDelegate"


def placed(
    operators: int,
    accelerated: int,
    *,
    partitions: int | None = None,
    left: Sequence[str] = (),
    left_at: Sequence[int | str] | None = None,
    processor: str | None = None,
) -> Json:
    """The dictionary that this module is about."""
    return {
        "operators": operators,
        "accelerated": accelerated,
        "partitions": partitions,
        "left": list(dict.fromkeys(left)),
        "left_at": None if left_at is None else list(left_at),
        "processor": processor,
    }


def of_nodes(nodes: Sequence[Node], graph_inputs: Sequence[int]) -> Json:
    """From the nodes of a TFLite interpreter, (kind, inputs, outputs) each, after a delegate was applied.

    Weights in float16 are made float32 by nodes of their own, of constants alone, once: these are nobody's operators.
    The nodes that it took stay in the list; that of the delegate, behind them, has their outermost inputs and outputs.
    What lies between these is what it took.
    """
    model = [node for node in nodes if node[0] != DELEGATE]
    delegates = [node for node in nodes if node[0] == DELEGATE]
    made_by = {tensor: place for place, node in enumerate(model) for tensor in node[2]}
    taken: set[int] = set()
    for _, inputs, outputs in delegates:
        ends, open_tensors = set(inputs), list(outputs)
        while open_tensors:
            place = made_by.get(open_tensors.pop())
            if place is None or place in taken:
                continue
            taken.add(place)
            open_tensors += [tensor for tensor in model[place][1] if tensor not in ends]
    known = {*graph_inputs, *made_by}
    own = [place for place, node in enumerate(model) if node[0] != _WIDENED or known.intersection(node[1])]
    left_at = [place for place in own if place not in taken]
    left = [model[place][0] for place in left_at]
    return placed(len(own), len(own) - len(left_at), partitions=len(delegates), left=left, left_at=left_at)


def of_gpu_log(log: str, kinds: Sequence[str], *, whole: bool) -> Json:
    """From what TFLite's and LiteRT's GPU delegates log; ``kinds`` are the graph's operators in order.

    ``whole``: the model was accepted without a processor beside the GPU. Else the delegate takes one run of operators
    that it knows, the longest, and logs how many there are and which it does not know.
    """
    adapter = _ADAPTER.search(log)
    name = adapter[1] if adapter else None
    if whole:
        return placed(len(kinds), len(kinds), partitions=1, left_at=[], processor=name)
    told = _SPLIT.search(log)
    if told is None:
        return placed(len(kinds), 0, partitions=0, left=kinds, left_at=range(len(kinds)), processor=name)
    count, refused = int(told[1]), refused_kinds(log)
    at = _only_run(kinds, refused, count)
    left = refused if at is None else [kind for place, kind in enumerate(kinds) if place not in at]
    places = None if at is None else [place for place in range(len(kinds)) if place not in at]
    return placed(len(kinds), count, partitions=1, left=left, left_at=places, processor=name)


def refused_kinds(log: str) -> list[str]:
    """The kinds of operators that a GPU delegate says it does not know, each once."""
    _, _, behind = log.partition("operations are not supported by GPU delegate:")
    before, split, _ = behind.partition("operations will run on the GPU")
    return list(dict.fromkeys(_REFUSED.findall(before))) if split else []


def _only_run(kinds: Sequence[str], refused: Sequence[str], count: int) -> range | None:
    """The one run of ``count`` operators in a row without a refused one before, in or behind it; None: not just one."""
    runs, begin = [], 0
    for place, kind in enumerate([*kinds, *refused[:1]]):
        if kind in refused:
            runs.append(range(begin, place))
            begin = place + 1
    fitting = [run for run in runs if len(run) == count]
    return fitting[0] if len(fitting) == 1 else None


def of_plugin_log(log: str, kinds: Sequence[str], names: Sequence[str]) -> Json:
    """From what LiteRT logs of a compiler plug-in for an NPU.

    ``names`` are the schema's names of operators by their number. A plug-in that selects operators and then fails to
    compile them has applied nothing, and LiteRT goes on without it.
    """
    device = _INTEL.findall(log)
    name = " ".join(device[0]) if device else None
    applied = [int(count) for count in _APPLIED.findall(log)]
    selected = [tuple(map(int, found)) for found in _SELECTED.findall(log)]
    if not selected or not applied or applied[-1] == 0:
        return placed(len(kinds), 0, partitions=0, left=kinds, left_at=range(len(kinds)), processor=name)
    taken, total, partitions = selected[-1]
    numbers = [int(number) for number in _UNKNOWN_TYPE.findall(log)]
    refused = {names[number] for number in numbers if number < len(names)}
    at = [place for place, kind in enumerate(kinds) if kind in refused]
    exact = len(at) == total - taken
    return placed(
        total, taken, partitions=partitions, left=sorted(refused), left_at=at if exact else None, processor=name
    )


def of_native_log(log: str) -> Json | None:
    """From what ``benchmark_model`` prints; None: it says nothing of where operators ran. XNNPACK is the processor."""
    found = [one for one in _REPLACED.findall(log) if one[2] != _CPU_DELEGATE]
    split = _SPLIT.search(log)
    if found:
        taken, total, _, partitions = found[-1]
        return placed(int(total), int(taken), partitions=int(partitions), left=refused_kinds(log))
    if split:
        taken, rest = int(split[1]), int(split[2])
        return placed(taken + rest, taken, left=refused_kinds(log))
    return None


def of_onnx_nodes(nodes: Sequence[tuple[str, str, str]], provider: str, *, parts: Sequence[int] = ()) -> Json:
    """From the nodes of an ONNX Runtime session, (execution provider, kind, name) each.

    What the runtime itself put in between, to turn a tensor round or to carry it over, is no operator of the model.
    ``parts`` are the numbers of nodes in the parts that the provider was given, where that is told.
    """
    own = [node for node in nodes if not _ADDED.fullmatch(node[2])]
    left = [node for node in own if node[0].lower() != provider.lower()]
    # A provider that compiles is given whole parts; one that does not, node by node.
    partitions = len(parts) if any(count > 1 for count in parts) else None
    if not left:
        partitions = partitions or 1
    elif len(left) == len(own):
        partitions = 0
    return placed(
        len(own),
        len(own) - len(left),
        partitions=partitions,
        left=[node[1] for node in left],
        left_at=[re.sub(r"_token_\d+$", "", node[2]) for node in left],
    )


def of_onnx_log(log: str, provider: str) -> Json | None:
    """From what ONNX Runtime logs where it is told to be verbose; None: it does not say where nodes are."""
    nodes, here, whole = [], "", None
    for line in log.splitlines():
        if (found := _PLACED_ON.search(line)) is not None:
            here = found[2]
            whole = (here, int(found[3])) if found[1] == "All nodes" else whole
        elif here and (node := _PLACED_NODE.search(line)) is not None:
            nodes.append((here, node[1], node[2]))
    if whole is not None:
        name, count = whole
        mine = name.lower() == provider.lower()
        return placed(count, count if mine else 0, partitions=int(mine), left_at=[] if mine else None)
    return of_onnx_nodes(nodes, provider) if nodes else None


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """What native code writes to standard error meanwhile; the list has it, as one text, at the end.

    It is not written anywhere else: LiteRT logs forty lines for each model, and a small device's disk would fill up.
    """
    told: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as stream:
        os.dup2(stream.fileno(), 2)
        try:
            yield told
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            stream.seek(0)
            told.append(stream.read().decode(errors="replace"))
