"""How documents of older versions become those of this one, where several hold the same old record."""

from __future__ import annotations

from typing import Any


def name_visits(*contents: dict[str, Any] | None) -> None:
    """Rename ``blocks``, as visits were called until version 1 of their documents, in estimates and what lists them."""
    for content in contents:
        if content is not None:
            content["visits"] = content.pop("blocks")
