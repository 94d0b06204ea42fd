"""Whether JSON content is what a JSON schema says, for the keywords that ours have; others are refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Schema = dict[str, Any]
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
    "integer": int,
}
KEPT: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda kind, content: isinstance(content, TYPES[kind]) and (kind == "boolean") == isinstance(content, bool),
    "const": lambda value, content: content == value,
    "enum": lambda values, content: content in values,
    "required": lambda names, content: set(names) <= set(content),
    "exclusiveMinimum": lambda bound, content: content > bound,
    "minimum": lambda bound, content: content >= bound,
    "minItems": lambda bound, content: len(content) >= bound,
    "maxItems": lambda bound, content: len(content) <= bound,
    "pattern": lambda pattern, content: re.search(pattern, content) is not None,
}
"""What can be told of the content alone: (keyword's value, content) → whether it is kept."""
IN_PARTS = {"anyOf", "oneOf", "$ref", "items", "prefixItems", "properties", "additionalProperties"}
SAY_NOTHING = {"$schema", "$defs", "title", "description", "default", "discriminator"}


def problems(content: Any, schema: Schema, *, root: Schema | None = None, at: str = "$") -> list[str]:
    """Every place where ``content`` is not as ``schema`` says; references are into ``root``, or the schema itself."""
    root = schema if root is None else root
    found = []
    for keyword, value in sorted(schema.items(), key=lambda item: item[0] != "type"):
        if keyword in KEPT and not KEPT[keyword](value, content):
            return [f"{at}: {keyword} {value!r} is not kept by {content!r:.80}"]
        if keyword == "anyOf" and all(problems(content, one, root=root, at=at) for one in value):
            return [f"{at}: nothing that is allowed is kept by {content!r:.80}"]
        if keyword == "oneOf" and sum(not problems(content, one, root=root, at=at) for one in value) != 1:
            return [f"{at}: not exactly one of what is allowed is kept by {content!r:.80}"]
        assert keyword in KEPT.keys() | SAY_NOTHING | IN_PARTS
    for where, part, its in _parts(content, schema, root):
        found += problems(part, its, root=root, at=at + where)
    return found


def _parts(content: Any, schema: Schema, root: Schema) -> Iterator[tuple[str, Any, Schema]]:
    """Where the parts of some content are, what they are, and the schema of each."""
    if "$ref" in schema:
        yield "", content, root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if isinstance(content, list) and "items" in schema:
        yield from ((f"[{i}]", one, schema["items"]) for i, one in enumerate(content))
    if isinstance(content, list) and "prefixItems" in schema:
        yield from (
            (f"[{i}]", one, its) for i, (one, its) in enumerate(zip(content, schema["prefixItems"], strict=False))
        )
    if isinstance(content, dict):
        named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        if isinstance(others, bool):
            others = {} if others else {"enum": []}
        for name, one in content.items():
            yield f".{name}", one, named.get(name, others)
