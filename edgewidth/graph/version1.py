"""Networks as version 1 wrote them: flat layers that state an operator, a width, a kernel, a stride, an activation."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.graph.spec import NetworkSpec, Node

_ATTRIBUTES = {"width": None, "kernel": 1, "stride": 1, "activation": "none"}
"""What every layer stated, with the value that meant nothing."""


def network_of_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``NetworkSpec``, given those that version 1 wrote.

    Raises:
        ValueError: They are not such fields.
    """
    try:
        nodes = [
            {
                "name": layer["name"],
                "inputs": layer["inputs"],
                "operator": {"op": layer["op"]}
                | {name: layer[name] for name, nothing in _ATTRIBUTES.items() if layer.get(name, nothing) != nothing},
            }
            for layer in content["layers"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the layers are not as any version of edgewidth wrote them") from error
    return {name: value for name, value in content.items() if name not in {"layers", "num_classes"}} | {"nodes": nodes}


def fingerprint_of_version_1(space: SearchSpace) -> str:
    """The fingerprint that version 1 gave a search space."""
    variables = [variable.model_dump(include={"name", "base", "choices"}) for variable in space.variables]
    content = {"network": _network(space.network), "variables": variables}
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:16]


def _network(network: NetworkSpec) -> dict[str, Any]:
    return {
        "family": network.family,
        "resolution": network.resolution,
        "in_channels": network.in_channels,
        "num_classes": network.outputs,
        "layers": [_layer(node) for node in network.nodes],
    }


def _layer(node: Node) -> dict[str, Any]:
    found = node.operator.model_dump(exclude_defaults=True)
    for name in {"kernel", "stride"} & found.keys():
        if len(set(found[name])) == 1:
            found[name] = found[name][0]
    return {"name": node.name, "op": found.pop("op"), "inputs": node.inputs} | _ATTRIBUTES | found
