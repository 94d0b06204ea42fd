"""What a model is given: values made up, or read from the file beside it. Python 3.9 and later."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Json = dict[str, Any]


def values_file(path: str) -> str:
    """Where the values that a model is given lie: beside it."""
    return f"{path}.npz"


def input_values(path: str, inputs: Sequence[Json]) -> Iterator[Any]:
    """The values of every input: made up, or read from the file beside the model.

    ``inputs`` are the fields of ``ModelInput`` for each.
    """
    import numpy as np  # noqa: PLC0415 - the runtimes bring it; facts and state do without

    rng = np.random.default_rng(0)
    for place, one in enumerate(inputs):
        fill = one.get("values", "random")
        if fill == "given":
            with np.load(values_file(path), allow_pickle=False) as given:
                values = given[str(place)]
            yield values.astype(object) if one["dtype"] == "string" else values
            continue
        kind: Any = np.dtype(one["dtype"])
        if fill == "zeros":
            yield np.zeros(one["shape"], kind)
        elif kind.kind == "f":
            yield np.asarray(rng.uniform(-1, 1, one["shape"]), kind)
        elif kind.kind == "b":
            yield np.asarray(rng.integers(0, 2, one["shape"]), kind)
        else:
            limits = np.iinfo(kind)
            yield rng.integers(limits.min, limits.max, one["shape"], dtype=kind, endpoint=True)
