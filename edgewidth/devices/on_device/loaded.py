"""A model that a runtime on the device has loaded, whatever the runtime. Python 3.9 and later."""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Json = dict[str, Any]


class Asked(NamedTuple):
    """What a model is loaded for.

    ``engine`` has the fields of the engine and of its way to the accelerator: ``runtime``, ``accelerator``, and where
    the profile says them ``delegate``, ``provider``, ``library`` and ``options``, a dictionary of texts. ``inputs`` are
    the fields of ``ModelInput`` for each; None: random values of the shapes that the file has. ``entry`` are those of
    ``Entry``; None: where the runtime enters by itself.
    """

    engine: Json
    path: str
    threads: int
    inputs: Sequence[Json] | None = None
    entry: Json | None = None

    @property
    def on_cpu(self) -> Asked:
        """The same model on the processor, by the same runtime."""
        return self._replace(engine={"runtime": self.engine["runtime"], "accelerator": "cpu"})


class Loaded(NamedTuple):
    """A loaded model, its inputs set."""

    run: Callable[[], object]
    """Runs it once, to the last byte of its outputs."""
    outputs: Callable[[], Sequence[Any]]
    """The outputs of the latest run, as arrays."""
    placed: Json | None = None
    """Where its operators run (see ``placement``); None: on the processor, which was asked for."""
    load_ns: int | None = None
    """What loading it took, without what found out where its operators run; None: all that was done took."""
    first_ns: tuple[int, ...] = ()
    """The times of runs that were made while it was loaded."""


class EngineError(Exception):
    """The engine cannot do what is asked, whatever the model: its library or its driver is not there, or too old."""


def difference_percent(found: Sequence[Any], expected: Sequence[Any]) -> float | None:
    """The largest difference of outputs, in percent of the range that the expected ones have; None: not comparable."""
    import numpy as np  # noqa: PLC0415 - the runtimes bring it

    worst = 0.0
    for one, other in zip(found, expected):  # noqa: B905 - Python 3.9 has no strict
        mine, right = (np.asarray(values, np.float64).ravel() for values in (one, other))
        if mine.shape != right.shape or not right.size or not np.isfinite(right).all():
            return None
        if not np.isfinite(mine).all():
            return float("1e9")
        spread = float(right.max() - right.min()) or max(abs(float(right[0])), 1e-30)
        worst = max(worst, float(np.abs(mine - right).max()) / spread)
    return 100 * worst
