"""Networks as version 1 wrote them: flat layers that state an operator, a width, a kernel, a stride, an activation."""

from __future__ import annotations

import hashlib
import json
from typing import Any

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


def fingerprint_of_version_1(space: dict[str, Any]) -> str:
    """The fingerprint that version 1 gave a search space, of whose fields those with default values are left out."""
    content = {"network": _network(**space["network"]), "variables": space["variables"]}
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:16]


def _network(nodes: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
    return others | {"num_classes": nodes[-1]["operator"].get("width"), "layers": [_layer(**node) for node in nodes]}


def _layer(name: str, operator: dict[str, Any], inputs: list[str]) -> dict[str, Any]:
    found = dict(operator)
    for attribute in {"kernel", "stride"} & found.keys():
        if len(set(found[attribute])) == 1:
            found[attribute] = found[attribute][0]
    return {"name": name, "op": found.pop("op"), "inputs": inputs} | _ATTRIBUTES | found
