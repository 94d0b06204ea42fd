"""The house keeps its order: which room may import which, and what never loads unasked."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import edgewidth

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(edgewidth.__file__).parent

FLOORS = (
    {"errors", "progress", "files", "documents", "streams", "version", "waiting", "resolution", "shown"},
    {"graph"},
    {"records"},
    {"tasks", "search"},
    {"data"},
    {"losses", "formats", "devices", "latency"},
    {"report", "training"},
    {"capture"},
    {"stages"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
"""The house from the ground up. A room imports from the floors below it; rooms of one floor do not import each other.

``__init__`` is the package itself: the library's face, which loads nothing before it is asked for."""

FORBIDDEN = {
    "graph": {"progress"},
    "search": {"*"},
    "tasks": {"graph", "search"},
    "data": {"graph", "search"},
    "devices": {"graph", "tasks", "data", "search"},
    "latency": {"tasks", "data", "search"},
}
"""What rooms must not know although it lies below them; ``*``: nothing of edgewidth but themselves."""


def allowed(room: str) -> set[str]:
    """The rooms that a room may import, itself among them."""
    floor = next(index for index, rooms in enumerate(FLOORS) if room in rooms)
    below = set().union(*FLOORS[:floor])
    if floor == 0:
        below = {"errors", "files"}
    forbidden = FORBIDDEN.get(room, set())
    return {room} | (set() if forbidden == {"*"} else below - forbidden)


FRAMEWORKS = {"torch", "tensorflow", "keras", "accelerate", "sklearn", "ai_edge_quantizer"}
"""Heavy, and extras: only the rooms that exist for them may name them."""
MAY_NAME_FRAMEWORKS = {"tasks", "training", "formats", "data", "capture"}
ON_THE_DEVICE = {("devices/on_device/tflite.py", "tensorflow.lite.python")}
"""The runner runs on the device: where that has no runtime but TensorFlow's, this is the runtime."""


class Import(NamedTuple):
    """One import statement, wherever in the file it stands."""

    file: Path
    line: int
    module: str
    """A file or folder of the package as the file system has it; of another package what the statement says."""

    @property
    def importer(self) -> str:
        """The room that imports, or the module at the top of the package."""
        return self.file.relative_to(PACKAGE).parts[0].removesuffix(".py")

    @property
    def room(self) -> str | None:
        """The room that is imported; None: it is another package."""
        first, *rest = self.module.split(".")
        return (rest[0] if rest else "__init__") if first == "edgewidth" else None

    def __str__(self) -> str:
        return f"{self.file.relative_to(PACKAGE.parent)}:{self.line} imports {self.module}"


def imports(file: Path) -> Iterator[Import]:
    """All of a file, those inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for name in dict.fromkeys(_file_named(module, alias.name) for alias in node.names):
                yield Import(file, node.lineno, name)


def _file_named(module: str, name: str) -> str:
    """``from module import name`` imports a file where ``name`` is one, and else ``module``."""
    path = PACKAGE.parent.joinpath(*module.split("."), name)
    is_file = module.split(".", maxsplit=1)[0] == "edgewidth" and (path.is_dir() or path.with_suffix(".py").is_file())
    return f"{module}.{name}" if is_file else module


ALL_IMPORTS = [found for file in sorted(PACKAGE.rglob("*.py")) for found in imports(file)]


def test_every_room_has_its_floor() -> None:
    """A room that nobody planned is noticed."""
    rooms = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in PACKAGE.rglob("*.py")}
    assert rooms - set().union(*FLOORS) == set()


def test_rooms_import_only_what_lies_below_them() -> None:
    """Inside functions too."""
    wrong = [
        str(found) for found in ALL_IMPORTS if found.room is not None and found.room not in allowed(found.importer)
    ]
    assert wrong == []


DEVICE_FLOORS = (
    {"words"},
    {"profiles", "on_device"},
    {"reach"},
    {"emulator", "ethos_u", "fake"},
    {"engines"},
    {"device"},
    {"measure"},
    {"check", "introduce"},
)
"""The folders and files inside ``devices``, in the same way."""


def test_arrows_inside_devices_point_down() -> None:
    """From the check of a device down to the texts of its profile; a folder that nobody planned is noticed."""
    floors = {part: floor for floor, parts in enumerate(DEVICE_FLOORS) for part in parts}
    wrong = []
    for found in ALL_IMPORTS:
        if found.importer == "devices" and found.module.startswith("edgewidth.devices."):
            importer = found.file.relative_to(PACKAGE / "devices").parts[0].removesuffix(".py")
            imported = found.module.split(".")[2]
            if importer != imported and floors[imported] >= floors[importer]:
                wrong.append(str(found))
    assert wrong == []
    assert {path.stem for path in (PACKAGE / "devices").iterdir()} - {"__init__", "__pycache__"} == set(floors)


def test_no_files_import_each_other_in_a_circle() -> None:
    """Neither inside functions nor for a type checker alone."""
    graph: dict[str, set[str]] = {}
    for found in ALL_IMPORTS:
        if found.room is not None:
            importer = ".".join(found.file.relative_to(PACKAGE.parent).with_suffix("").parts)
            graph.setdefault(importer.removesuffix(".__init__"), set()).add(found.module)
    TopologicalSorter(graph).prepare()  # raises a CycleError that tells the circle


def test_search_knows_only_numbers() -> None:
    """Neither networks nor devices nor files: nothing of edgewidth but itself, and NumPy and SciPy."""
    foreign = {found.module.split(".")[0] for found in ALL_IMPORTS if found.importer == "search"}
    assert foreign - set(sys.stdlib_module_names) == {"edgewidth", "numpy", "scipy"}
    rooms = {found.room for found in ALL_IMPORTS if found.importer == "search" and found.room is not None}
    assert rooms == {"search"}


def test_frameworks_are_named_only_where_they_belong() -> None:
    """Outside training and export none, not even inside a function; the one exception is needed, or must go."""
    named = {
        (found.file.relative_to(PACKAGE).as_posix(), found.module)
        for found in ALL_IMPORTS
        if found.module.split(".")[0] in FRAMEWORKS and found.importer not in MAY_NAME_FRAMEWORKS
    }
    assert named == ON_THE_DEVICE


def names_a_format(node: ast.AST) -> bool:
    """A format's ending as a text, or a member of ``FormatName``."""
    if isinstance(node, ast.Constant):
        return node.value in {"tflite", ".tflite", ".onnx"}
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "FormatName"


def test_only_formats_tell_one_format_from_another() -> None:
    """Outside, a format is a value that is handed on; only which one a runtime executes stands beside the runtimes."""
    naming = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if any(map(names_a_format, ast.walk(ast.parse(file.read_text(encoding="utf-8")))))
    }
    outside = {name for name in naming if not name.startswith("formats/")}
    assert outside == {"records/measurement.py"}
    assert {"formats/tflite/format.py", "formats/onnx/format.py"} <= naming


def test_imports_are_absolute() -> None:
    """One way of naming a module."""
    assert [str(found) for found in ALL_IMPORTS if found.module.startswith(".")] == []


def test_the_walk_sees_imports_inside_functions(tmp_path: Path) -> None:
    """Or the tests above would prove nothing."""
    file = tmp_path / "sample.py"
    file.write_text(
        "from edgewidth import records, __version__\n"
        "if TYPE_CHECKING:\n    from edgewidth.devices.measure import Y, wire\n"
        "def late():\n    import torch.nn\n    from edgewidth.devices.measure.store import X\n"
    )
    found = list(imports(file))
    assert {(item.module, item.room) for item in found} == {
        ("edgewidth.records", "records"),
        ("edgewidth", "__init__"),
        ("edgewidth.devices.measure", "devices"),
        ("edgewidth.devices.measure.wire", "devices"),
        ("torch.nn", None),
        ("edgewidth.devices.measure.store", "devices"),
    }


@pytest.mark.parametrize(
    "statements",
    [
        "import edgewidth",
        "from edgewidth.cli.main import exit_code; exit_code(['--help'])",
        "from edgewidth.cli.main import exit_code; exit_code(['run', '--help'])",
    ],
)
def test_nothing_heavy_loads_unasked(statements: str) -> None:
    """``import edgewidth`` and the help of a verb stay light: in a fresh process, by what is then loaded."""
    heavy = sorted(FRAMEWORKS | {"onnxruntime", "onnx", "ai_edge_litert", "matplotlib", "scipy"})
    program = f"import sys; {statements}; print(*(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=PACKAGE.parent
    )
    assert done.stderr.split() == []


ROOMS_WITHOUT_FRAMEWORK = ("graph", "records", "tasks", "search", "losses", "devices", "latency")


def rooms_alone() -> list[str]:
    """All modules of the rooms that must work without a framework."""
    files = (file for room in ROOMS_WITHOUT_FRAMEWORK for file in (PACKAGE / room).rglob("*.py"))
    return [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in sorted(files)]


def test_the_lower_rooms_load_no_framework() -> None:
    """Importing every one of their modules, in a fresh process, loads none, not even through others."""
    apart = (".runner", ".objective")  # the one is a program for devices, the other a task's door to torch
    modules = [name for name in rooms_alone() if not name.endswith(apart) and ".emulator" not in name]
    program = f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True, cwd=PACKAGE.parent
    )
    loaded = set(done.stdout.split())
    assert set(modules) <= loaded
    assert loaded & FRAMEWORKS == set()
