"""The size of an image: height and width, or one number for a square."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

Side = Annotated[int, Field(ge=1)]


def _one_number_if_square(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and len(value) == 2 and value[0] == value[1] else value


Resolution = Annotated[Side | tuple[Side, Side], BeforeValidator(_one_number_if_square)]
"""Pixels: height and width, or one number for a square."""


def sides(resolution: Resolution) -> tuple[int, int]:
    """Height and width."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def resolution_of(height: int, width: int) -> Resolution:
    """One number for a square, else both."""
    return height if height == width else (height, width)


def resolution_text(resolution: Resolution) -> str:
    """In words: ``96`` for a square, ``49×10`` for height and width."""
    return str(resolution) if isinstance(resolution, int) else "×".join(map(str, resolution))
