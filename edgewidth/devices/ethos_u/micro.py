"""TensorFlow Lite Micro on this machine: whether a microcontroller's interpreter runs a file, in how much memory."""

from __future__ import annotations

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewidth.devices.reach.process import failure_line, finish
from edgewidth.errors import EdgewidthError
from edgewidth.files import temporary_folder
from edgewidth.records.validation import MicroRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE = "tflite_micro"
RUN_S = 300.0
"""Reference kernels are slow, and a process that takes longer is ended."""
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")


def run_micro(content: bytes) -> MicroRun | None:
    """Run a .tflite file once in the interpreter for microcontrollers, in a process of its own.

    None: the package tflite-micro is not installed. A file that does not run is told with the interpreter's reason.
    """
    if find_spec(PACKAGE) is None:
        return None
    with temporary_folder() as folder:
        path = folder / "model.tflite"
        path.write_bytes(content)
        try:
            done = finish(
                [sys.executable, "-m", __name__, path.name],
                timeout_s=RUN_S,
                what="TensorFlow Lite Micro",
                folder=folder,
            )
        except EdgewidthError as error:
            return MicroRun(reason=error.message)
        text = (done.stdout + done.stderr).decode(errors="replace")
        arena, told = _ARENA.search(text), _told(done.stdout.decode(errors="replace"))
        if done.returncode != 0 or arena is None or told is None:
            return MicroRun(reason=failure_line(done.stderr) or f"it ended with {done.returncode}")
        return MicroRun(arena_bytes=int(arena[1]), difference_percent=told)


def _told(stdout: str) -> float | None:
    """What ``_main`` printed among the interpreter's own lines."""
    for line in stdout.splitlines():
        if line.startswith('{"difference_percent"'):
            return float(json.loads(line)["difference_percent"])
    return None


def _main(path: Path) -> None:
    """Run a file in both interpreters on the same random numbers; print what is found."""
    import numpy as np  # noqa: PLC0415  in the process that runs it alone
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415
    from tflite_micro import runtime  # noqa: PLC0415

    plain = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    plain.allocate_tensors()
    micro = runtime.Interpreter.from_file(str(path))
    rng = np.random.default_rng(0)
    for place, one in enumerate(plain.get_input_details()):
        values = _random(rng, one["shape"], one["dtype"])
        plain.set_tensor(one["index"], values)
        micro.set_input(values, place)
    plain.invoke()
    micro.invoke()
    found = [
        _difference_percent(plain.get_tensor(one["index"]), micro.get_output(place))
        for place, one in enumerate(plain.get_output_details())
    ]
    micro.print_allocations()
    sys.stdout.write(json.dumps({"difference_percent": max(found)}) + "\n")


def _random(rng: Any, shape: Any, dtype: Any) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415

    if np.issubdtype(dtype, np.integer):
        ends = np.iinfo(dtype)
        return np.asarray(rng.integers(ends.min, ends.max, shape, dtype, endpoint=True))
    return np.asarray(rng.random(shape), dtype)


def _difference_percent(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """The largest difference, in percent of the range that the expected values have."""
    import numpy as np  # noqa: PLC0415

    span = max(float(np.ptp(expected.astype(float))), 1e-12)
    return 100 * float(np.abs(expected.astype(float) - found.astype(float)).max()) / span


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
