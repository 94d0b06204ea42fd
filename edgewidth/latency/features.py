"""What an entry of the table may depend on: functions of a layer's channels, each a part of the prior.

A feature maps a term to a matrix (entries, columns). What is expected of hardware: cost grows with the
multiply-accumulates, with the channels read and written at every pixel, with the weights, and has a constant
part; kernels work in tiles of 8, 16, 32 … channels, so that cost climbs in steps; and caches bend it smoothly.
A compiler for an NPU lays out, splits and packs every layer anew, so that a width can cost half as much again as its
neighbours: by the channels that it has beyond whole tiles, or for reasons of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from edgewidth.latency.terms import Floats, Term

Level = Literal["all", "shape", "layer"]
Columns = Callable[[Term], Floats]

TILES = (4, 8, 16, 32, 64)
"""Channel tiles of the usual matrix kernels (SSE, AVX, NEON, their int8 dot products, and GPUs)."""

WHOLE_TILE = 64
"""Channels beyond a multiple of it may cost anything; every tile above divides it."""

LENGTHS = {"wide": 1.0, "narrow": 0.3, "rough": 0.3}
"""Correlation lengths of the residual, in natural logarithms of channels."""

Axis = Literal["in", "out", "both"]
_OTHER: dict[Axis, Axis] = {"in": "out", "out": "in"}
_KEPT_VARIANCE = 1e-5


class Feature(NamedTuple):
    """A family of columns with one learned strength, shared between terms at a level."""

    name: str
    level: Level
    typical: float
    """The strength expected before anything is measured: its share of a network's latency."""
    columns: Callable[[tuple[Term, ...]], Columns]
    """Given all terms that share the columns, the function that makes them for one of the terms."""


def work(term: Term) -> Floats:
    """A rough cost of every entry in multiply-accumulates, by which deviations are scaled. (entries,)."""
    ins, outs = term.in_widths, term.out_widths
    once = 5000 * term.is_first
    if term.mixes:
        return term.pixels * (term.taps * ins * outs + 8 * term.taps * ins + 8 * outs * term.is_first) + once
    return 2 * term.taps * term.pixels * outs + 2 * term.in_pixels * ins + once


def features_of(kind_terms: tuple[Term, ...]) -> list[Feature]:
    """The features of all terms of one kind. Those of a width that is the same everywhere are left out."""
    shapes = {term.shape for term in kind_terms}
    levels: list[Level] = ["all"]
    levels += ["shape"] if len(shapes) > 1 else []
    levels += ["layer"] if len(kind_terms) > len(shapes) else []
    both: tuple[Axis, ...] = ("in", "out")
    sides = tuple(side for side in both if _varies(np.concatenate([_side(term, side) for term in kind_terms])))
    axes: tuple[Axis, ...] = sides if kind_terms[0].mixes else ("out",)
    found = []
    for level in levels:
        found += _linear(level, axes) + _smooth(level, axes) + _jumps(level, axes)
    return found + _steps(kind_terms, axes)


def _linear(level: Level, axes: tuple[Axis, ...]) -> list[Feature]:
    parts: dict[str, Columns] = {
        "macs": lambda t: t.pixels * t.taps * t.out_widths * (t.in_widths if t.mixes else 1.0),
        "constant": lambda t: np.full(t.size, float(t.is_first)),
    }
    if len(axes) == 2:
        parts["in"] = lambda t: t.pixels * t.taps * t.in_widths
        parts["out"] = lambda t: t.pixels * t.out_widths * t.is_first
    if level == "all":
        parts["pixels"] = lambda t: np.full(t.size, float(t.pixels * t.is_first))
        parts["read"] = lambda t: t.in_pixels * t.in_widths
        parts["weights"] = lambda t: t.taps * t.out_widths * (t.in_widths if t.mixes else 1.0)
        if len(axes) == 2:
            parts["filters"] = lambda t: t.out_widths * t.is_first
            parts["channels"] = lambda t: t.in_widths
    typical = {"all": 0.2, "shape": 0.03, "layer": 0.005}[level]
    return [Feature(name, level, typical, _same(part)) for name, part in parts.items()]


def _same(part: Columns) -> Callable[[tuple[Term, ...]], Columns]:
    return lambda _: lambda term: part(term).reshape(term.size, -1)


def _saw(widths: Floats, tile: int) -> Floats:
    """How many channels the last tile lacks: what a kernel computes in vain."""
    return tile * np.ceil(widths / tile) - widths


def _steps(kind_terms: tuple[Term, ...], axes: tuple[Axis, ...]) -> list[Feature]:
    found = []
    for axis in axes:
        widths = np.concatenate([_side(term, axis) for term in kind_terms])
        tiles = [tile for tile in TILES if _varies(_saw(widths, tile))]
        found += [Feature(f"{axis}{tile}", "all", 0.01, _same(_step(axis, tile))) for tile in tiles]
    return found


def _step(axis: Axis, tile: int) -> Columns:
    """A step in one width, times the other width and times a constant."""

    def columns(term: Term) -> Floats:
        lacking: Floats = term.pixels * term.taps * _saw(_side(term, axis), tile)
        if not term.mixes:
            return lacking[:, None]
        others = np.stack([_side(term, _OTHER[axis]), np.full(term.size, 16.0)], axis=1)
        both: Floats = lacking[:, None] * others
        return both

    return columns


def _jumps(level: Level, axes: tuple[Axis, ...]) -> list[Feature]:
    """What comes on top of an input's multiply-accumulates, or of an output's numbers, at single widths.

    The weights are packed by what enters, and what leaves is written in bricks.
    """
    found: list[Feature] = []
    if level != "layer" and "in" in axes:
        found.append(Feature("rest-in", level, 0.01, _apart("in", WHOLE_TILE)))
    if level == "shape":
        found.append(Feature("rest-out", level, 0.01, _apart("out", WHOLE_TILE)))
    if level == "layer":
        found += [Feature(f"own-{axis}", level, 0.003, _apart(axis)) for axis in axes]
    return found


def _apart(axis: Axis, tile: int | None = None) -> Callable[[tuple[Term, ...]], Columns]:
    """A column of its own for every width, or for every remainder of ``tile``, in units of what it multiplies."""

    def classes(term: Term) -> Floats:
        return _side(term, axis) % tile if tile else _side(term, axis)

    def shared(sharing: tuple[Term, ...]) -> Columns:
        distinct = np.unique(np.concatenate([classes(term) for term in sharing]))

        def columns(term: Term) -> Floats:
            mixed = term.taps * term.in_widths if axis == "in" else float(term.is_first)
            scale = term.pixels * term.out_widths * mixed
            return np.where(classes(term)[:, None] == distinct, scale[:, None], 0.0)

        return columns

    return shared


def _varies(values: Floats) -> bool:
    return bool(np.ptp(values) > 0)


def _smooth(level: Level, axes: tuple[Axis, ...]) -> list[Feature]:
    typical = {"all": 0.03, "shape": 0.01, "layer": 0.003}[level]
    wanted: list[tuple[str, Axis]] = [("wide", axis) for axis in axes]
    wanted += [("narrow", axis) for axis in axes if level != "layer"]
    wanted += [("rough", axis) for axis in axes if level == "shape"]
    if len(axes) == 2 and level != "layer":
        wanted.append(("wide", "both"))
    if len(axes) == 2 and level == "shape":
        wanted.append(("narrow", "both"))
    return [
        Feature(f"{name}-{axis}", level, typical, _field(LENGTHS[name], axis, rough=name == "rough"))
        for name, axis in wanted
    ]


def _field(length: float, axis: Axis, *, rough: bool = False) -> Callable[[tuple[Term, ...]], Columns]:
    """A Gaussian process over log channels, times the work, as the columns of its covariance's square root."""

    def shared(sharing: tuple[Term, ...]) -> Columns:
        roots = {
            side: _root(np.concatenate([_side(term, side) for term in sharing]), length, rough=rough)
            for side in ("in", "out")
        }

        def columns(term: Term) -> Floats:
            parts = [roots[side](_side(term, side)) for side in ("in", "out") if axis in {side, "both"}]
            field = parts[0] if len(parts) == 1 else np.einsum("ej,ek->ejk", *parts).reshape(term.size, -1)
            return work(term)[:, None] * field

        return columns

    return shared


def _side(term: Term, side: str) -> Floats:
    return term.in_widths if side == "in" else term.out_widths


def _root(widths: Floats, length: float, *, rough: bool) -> Callable[[Floats], Floats]:
    """A square root of the covariance on the distinct widths: widths → (widths, rank)."""
    distinct = np.unique(widths)
    distance = np.abs(np.log(distinct)[:, None] - np.log(distinct)) / length
    covariance = np.exp(-distance) if rough else np.exp(-0.5 * distance**2)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > _KEPT_VARIANCE * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    return lambda asked: root[np.searchsorted(distinct, asked)]
