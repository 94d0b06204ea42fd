"""The kinds of bad input that ``bad_inputs.py`` tries: each makes, of a random generator, files and a command line."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # small models, and a run folder as the stages leave it

from report.sample import sample_folder
from small_onnx import small_onnx
from small_tflite import small_tflite
from small_training import small_space

from edgewidth.cli.verbs import VERBS, load
from edgewidth.devices.measure.policy import Policy
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.weights import save_plain

CANARY = "ran-from-data"
"""The name of the file that hostile content tries to make."""
HOSTILE = (
    f"$(touch {CANARY})",
    f"; touch {CANARY} #",
    f"`touch {CANARY}`",
    f"-oProxyCommand=touch {CANARY}",
    f"../../{CANARY}",
    f"/../../../../tmp/{CANARY}",
    "",
    " ",
    "\x1b]0;title\x07\x1b[2J",
    "\u202egnp.exe",
    "\ud800",
    "a" * 70_000,
    "名前 🦀",
    "a\nb",
    "%s%n{0}{self}",
    "--help",
    "nan",
)
NUMBERS = (0, -1, 1, 2, 3, 255, 256, 65_535, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, 2**64, 10**30, 0.1, -0.0, 1e308)
ODD: tuple[Any, ...] = (*NUMBERS, *HOSTILE, None, True, False, math.nan, math.inf, -math.inf, [], {}, [[]], [None])
QUICK = Policy(rounds=1, visit_ms=2, warmup_min_ms=1, warmup_max_ms=5, remeasure=0, load_limit_s=5, visit_max_ms=100)


class Bomb:
    """What runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {CANARY}",)


@dataclass(frozen=True)
class Case:
    """A command line, and what its process does before it."""

    words: list[str]
    prepare: Callable[[], None] = lambda: None


class Originals:
    """Good inputs, made once, that cases are made of by mutation.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tflite = small_tflite()
        self.onnx = small_onnx((4, 4), size=8)
        self.run = sample_folder(folder / "run").path
        self.measured = self._profile()
        self.weights = folder / "weights.safetensors"
        space = small_space()
        save_plain(PlainNetwork(space, space.largest), self.weights)
        # What every case would import again.
        for name in VERBS:
            load(name)

    def _profile(self) -> Path:
        """A run folder with a store and a table that were really measured, on the fake device."""
        folder = self.folder / "measured"
        words = ["profile", "--device", "fake", "--network", "resnet8", "--resolution", "16", "--out", str(folder)]
        subprocess.run(
            [sys.executable, "-m", "edgewidth", *words],
            check=True,
            capture_output=True,
            timeout=600,
            env={**os.environ, "EDGEWIDTH_CACHE": str(self.folder / "cache")},
        )
        return folder


Kind = Callable[[random.Random, Path, Originals], Case]


# Mutations.


def broken(rng: random.Random, content: bytes) -> bytes:
    """A few bits flipped, bytes overwritten, a part cut out, doubled or moved, or the end cut off."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(7):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at] = rng.choice([0, 0xFF, 0x7F, 0x80, rng.randrange(256)])
            case 2:
                del data[at : at + rng.choice([1, 4, 100])]
            case 3:
                data[at:at] = data[at : at + rng.choice([1, 4, 100])]
            case 4:
                data[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1]))
            case 5:
                data[at : at + 8] = struct.pack("<Q", rng.choice([0, 2**63 - 1, 2**63, 2**64 - 1, len(data)]))
            case _ if rng.random() < 0.3:
                del data[at:]
    return bytes(data)


def odd_file(rng: random.Random, path: Path) -> None:
    """No file of any format: empty, a folder, a link to itself, a pickle, noise, text, an archive's beginning."""
    match rng.randrange(7):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to(path.name)
        case 2:
            path.write_bytes(pickle.dumps(Bomb()))
        case 3:
            path.write_bytes(rng.randbytes(rng.choice([1, 100, 5000])))
        case 4:
            path.write_text(rng.choice(["{}", "[]", "null", "[" * 5000, '{"a":' * 2000, "<html>", "\ufeff{}"]))
        case 5:
            path.write_bytes(rng.choice([b"PK\x03\x04", b"\x93NUMPY", b"SQLite format 3\0", b"TFL3", b"\x1f\x8b"]) * 9)
        case _:
            path.write_bytes(b"")


def file_of(rng: random.Random, path: Path, content: bytes, mutated: Callable[[random.Random], bytes]) -> None:
    """A file that is broken, mutated by the grammar of its format, or none of that format."""
    match rng.randrange(8):
        case 0:
            odd_file(rng, path)
        case 1 | 2 | 3:
            path.write_bytes(broken(rng, content))
        case _:
            path.write_bytes(mutated(rng))


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a JSON value, or of the objects of a flatbuffer, with each of its keys."""
    if isinstance(node, dict):
        pairs = list(node.items())
    elif isinstance(node, list):
        pairs = list(enumerate(node))
    elif type(node).__module__ == schema.__name__:
        pairs = list(vars(node).items())
    else:
        return
    for key, value in pairs:
        yield node, key
        yield from places(value)


def mutate_json(rng: random.Random, document: Any) -> Any:
    """One to three values replaced by odd ones, removed, doubled or moved."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = list(places(document))
        if not found:
            return rng.choice(ODD)
        node, key = rng.choice(found)
        match rng.randrange(6):
            case 0:
                del node[key]
            case 1:
                other, place = rng.choice(found)
                node[key] = json.loads(json.dumps(other[place])) if place in range_of(other) else None
            case 2 if isinstance(node, list):
                node.extend([node[key]] * rng.choice([1, 2, 1000]))
            case 3 if isinstance(node, dict):
                node[rng.choice(["schema_version", "extra", "__class__", "\0"])] = rng.choice(ODD)
            case _:
                node[key] = rng.choice(ODD)
    return document


def range_of(node: Any) -> Any:
    """The keys that a container has now."""
    return node if isinstance(node, dict) else range(len(node))


def json_bytes(document: Any) -> bytes:
    """As a file may hold it, NaN and lone surrogates too."""
    return json.dumps(document).encode("utf-8", "surrogatepass")


def mutate_tflite(rng: random.Random, content: bytes) -> bytes:
    """Whole numbers, lists and names of its tables changed, so that it stays a flatbuffer."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for _ in range(rng.choice([1, 1, 2, 4])):
        node, key = rng.choice(list(places(model)))
        value = node[key] if isinstance(node, list) else getattr(node, key)
        new: Any = rng.choice([-1, 0, 1, 2, 7, 100, 127])
        if isinstance(value, (str, bytes)):
            new = rng.choice([text for text in HOSTILE if text != "\ud800"])
        elif isinstance(value, np.ndarray):
            new = rng.choice([value[:0], value[: len(value) // 2], np.concatenate([value, value])])
        elif isinstance(value, list):
            new = rng.choice([None, [], value[:1], value + value])
        elif not isinstance(value, (int, np.integer)):
            new = None
        if isinstance(node, list):
            node[key] = new
        else:
            setattr(node, key, new)
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except Exception:  # noqa: BLE001 - what cannot be written is no file
        return broken(rng, content)
    return bytes(builder.Output())


def mutate_onnx(rng: random.Random, content: bytes) -> bytes:
    """Operators, types, shapes, names, versions and attributes changed, so that it stays a model."""
    model = onnx.load_from_string(content)
    graph = model.graph
    node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
    value = rng.choice([*graph.input, *graph.output])
    changes: list[Callable[[], object]] = [
        lambda: setattr(node, "op_type", rng.choice(["Loop", "If", "Scan", "Nothing", "Conv", "Reshape", ""])),
        lambda: setattr(node, "domain", rng.choice(["com.example", "ai.onnx.ml", ""])),
        lambda: node.input.append(rng.choice([*node.input, "nowhere", ""])),
        lambda: node.ClearField("input"),
        lambda: node.output.extend(list(node.input)),
        lambda: tensor.dims.__setitem__(0, rng.choice([0, -1, 1, 2**31, 2**62])),
        lambda: setattr(tensor, "data_type", rng.randrange(30)),
        lambda: setattr(tensor, "raw_data", tensor.raw_data[: rng.randrange(len(tensor.raw_data))]),
        lambda: setattr(tensor, "name", rng.choice(HOSTILE[:10])),
        lambda: setattr(tensor, "data_location", onnx.TensorProto.EXTERNAL),
        lambda: tensor.external_data.add(key="location", value=rng.choice(["/etc/passwd", "../../x", "x", ""])),
        lambda: setattr(value.type.tensor_type, "elem_type", rng.randrange(30)),
        lambda: value.type.tensor_type.shape.dim.add(dim_value=rng.choice([0, -5, 2**40])),
        lambda: value.type.tensor_type.shape.dim[-1].CopyFrom(onnx.TensorShapeProto.Dimension(dim_param="n")),
        lambda: value.type.ClearField("tensor_type"),
        lambda: setattr(value, "name", rng.choice(HOSTILE[:10])),
        lambda: graph.ClearField("node"),
        lambda: graph.input.append(value),
        lambda: setattr(model, "ir_version", rng.choice([0, 1, 2, 99, 2**40])),
        lambda: setattr(model.opset_import[0], "version", rng.choice([-1, 0, 1, 6, 999])),
        lambda: model.ClearField("opset_import"),
        lambda: model.ClearField("graph"),
        lambda: node.attribute.append(onnx.helper.make_attribute("pads", [rng.choice([-1, 2**40, 0])] * 4)),
        lambda: model.metadata_props.add(key="k", value=HOSTILE[8]),
    ]
    for _ in range(rng.choice([1, 1, 2, 3])):
        with suppress(IndexError):  # an earlier change took away what this one is of
            rng.choice(changes)()
    return bytes(model.SerializeToString())


# Kinds.


def quick_visits() -> None:
    """One short visit is enough to see how a file is taken."""
    from edgewidth.stages import validate  # noqa: PLC0415  patched in the case's own process

    setattr(validate, "visiting", lambda *_, **__: QUICK)  # noqa: B010 - not the module's business


def validated(rng: random.Random, path: Path, *more: str) -> Case:
    """A model's file on a device: this machine's own runtime now and then, since it takes a second."""
    device = "local" if rng.random() < 0.4 else "fake"
    told = rng.choice([[], [], ["--json"], ["--input-values", "zeros"], ["--budget", "1ms"]])
    return Case(["validate", str(path), "--device", device, *told, *more], quick_visits)


def tflite(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """A .tflite."""
    path = folder / "model.tflite"
    file_of(rng, path, originals.tflite, lambda r: mutate_tflite(r, originals.tflite))
    return validated(rng, path)


def onnx_model(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """An .onnx."""
    path = folder / "model.onnx"
    file_of(rng, path, originals.onnx, lambda r: mutate_onnx(r, originals.onnx))
    return validated(rng, path, "--runtime", "onnxruntime")


def input_values(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """Values for a model's inputs that are others than it takes."""
    path, values = folder / "model.tflite", folder / "values.npz"
    path.write_bytes(originals.tflite)
    file_of(rng, values, npz({"input": np.zeros((1, 256), np.float32)}), lambda r: npz({"input": odd_array(r)}))
    return validated(rng, path, "--input-values", str(values))


def npz(arrays: dict[str, Any], *, pickled: bool = True) -> bytes:
    """An .npz of these arrays."""
    target = io.BytesIO()
    np.savez(target, allow_pickle=pickled, **arrays)
    return target.getvalue()


def odd_array(rng: random.Random) -> Any:
    """Of an odd shape, type or content."""
    shape = rng.choice(
        [(), (0,), (1,), (1, 256), (60,), (60, 8, 8), (60, 8, 8, 1), (60, 8, 8, 7), (0, 8, 8), (60, 0, 8)]
    )
    kind = rng.choice(["u1", "i8", "f4", "f8", "f2", "c8", "U3", "S3", "M8[s]", "O", "?"])
    array = np.zeros(shape, kind)
    if kind == "O":
        array = np.full(shape, Bomb(), object)
    if kind in {"f4", "f8", "f2"} and array.size:
        array.flat[0] = rng.choice([math.nan, math.inf, 0.5, -1e4])
    if kind in {"u1", "i8"} and array.size:
        array.flat[0] = rng.choice([0, 1, 200])
    return array


def good_arrays() -> dict[str, Any]:
    """Sixty images of three classes."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test"):
        arrays[f"x_{split}"] = rng.integers(0, 256, (60, 8, 8, 1), np.uint8)
        arrays[f"y_{split}"] = np.arange(60) % 3
    return arrays


def looked_at(data: Path, *more: str) -> Case:
    """Data that a network is fitted to: all of it is read, and nothing trained."""
    return Case(["network", "resnet8", "--data", str(data), *more])


def arrays(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """An .npz of images."""
    del originals

    def mutated(rng: random.Random) -> bytes:
        arrays = good_arrays()
        for _ in range(rng.choice([1, 1, 2])):
            name = rng.choice([*arrays, "class_names", "extra"])
            if rng.random() < 0.3:
                arrays.pop(name, None)
            else:
                arrays[name] = odd_array(rng)
        return npz(arrays)

    path = folder / "data.npz"
    file_of(rng, path, npz(good_arrays()), mutated)
    return looked_at(path)


def images(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """A folder of images, some of them damaged, of odd kinds, or under odd names."""
    del originals
    data = folder / "data"
    for split in ("train", "val"):
        for name in rng.sample(["a", "b", "c", *(text for text in HOSTILE if is_name(text))], 3):
            (data / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(4):
                target = io.BytesIO()
                kind = rng.choice(["JPEG", "PNG", "WEBP", "BMP", "GIF"])
                mode = "L" if kind == "BMP" else rng.choice(["L", "RGB"])
                Image.new(mode, (rng.choice([1, 8, 9]), 8), 0).save(target, kind)
                (data / split / name / f"{number}.{kind.lower()}").write_bytes(target.getvalue())
    files = [path for path in data.rglob("*") if path.is_file()]
    for path in rng.sample(files, rng.choice([1, 1, 3])):
        content = path.read_bytes()
        path.unlink()
        if rng.random() < 0.7:
            path.write_bytes(broken(rng, content))
        else:
            odd_file(rng, path)
    return looked_at(data, *rng.choice([[], ["--skip-bad"]]))


def is_name(text: str) -> bool:
    """Whether a file can have this name."""
    return bool(text.strip()) and "/" not in text and "\0" not in text and "\ud800" not in text and len(text) < 200


def toml(table: dict[str, Any]) -> str:
    """A profile's text."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items() if value is not None)


PROFILE: dict[str, Any] = {
    "name": "mine",
    "transport": "fake",
    "threads": 1,
    "runtime": "litert",
    "runtimes": ["litert", "onnxruntime"],
    "python": "python3",
    "affinity": [0],
    "min_free_mb": 1,
}


def profile(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """A device's profile. None that would reach for another machine: nothing there is to be tried."""
    table = {**PROFILE, "workdir": str(folder / "out" / "device")}
    for _ in range(rng.choice([1, 1, 2, 3])):
        key = rng.choice(
            [*PROFILE, "description", "serial", "cool_down_c", "emulator", "benchmark_model", "clock", "x"]
        )
        table[key] = rng.choice(ODD)
    good = toml(PROFILE).encode()
    text = toml(table).replace("NaN", "nan").replace("Infinity", "inf").encode("utf-8", "replace")
    path = folder / "mine.toml"
    file_of(rng, path, good, lambda _: text)
    if rng.random() < 0.5:
        return Case(["devices", "check", str(path)])
    model = folder / "model.tflite"
    model.write_bytes(originals.tflite)
    return Case(["validate", str(model), "--device", str(path)], quick_visits)


DOCUMENTS = {
    "run.json": [["report", "RUN"]],
    "table.json": [["table", "show", "RUN/table.json"], ["report", "RUN"], ["SEARCH"]],
    "losses.json": [["SEARCH"], ["report", "RUN"]],
    "search.json": [["report", "RUN"]],
    "judged.json": [["report", "RUN"]],
    "artifacts.json": [["report", "RUN"]],
    "validation.json": [["report", "RUN"]],
    "training.jsonl": [["report", "RUN"]],
    "finetune.jsonl": [["report", "RUN"]],
    "int8.jsonl": [["report", "RUN"]],
}
SEARCH = ["search", "--table", "RUN/table.json", "--losses", "RUN/losses.json", "--budget", "10ms", "--out", "OUT"]


def document(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """A document of a run folder, and what reads it. The folder is what the command writes to."""
    out = folder / "out"
    shutil.copytree(originals.run, out)
    name = rng.choice(list(DOCUMENTS))
    content = (out / name).read_bytes()
    (out / name).unlink()

    def mutated(rng: random.Random) -> bytes:
        if name.endswith(".jsonl"):
            lines = content.splitlines()
            at = rng.randrange(len(lines))
            lines[at] = json_bytes(mutate_json(rng, json.loads(lines[at])))
            return b"\n".join(lines) + b"\n"
        return json_bytes(mutate_json(rng, json.loads(content)))

    file_of(rng, out / name, content, mutated)
    words = rng.choice(DOCUMENTS[name])
    words = SEARCH if words == ["SEARCH"] else words
    return Case([word.replace("RUN", str(out)).replace("OUT", str(out / "found")) for word in words])


def store(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """The store of measurements of a run folder, or that of earlier validations in the cache."""
    if rng.random() < 0.3:
        model = folder / "model.tflite"
        model.write_bytes(originals.tflite)
        (folder / "cache").mkdir()
        content = (originals.measured / "measurements.sqlite").read_bytes()
        file_of(rng, folder / "cache" / "validations.sqlite", content, lambda r: pages(r, content))
        return Case(["validate", str(model), "--device", "fake"], quick_visits)
    out = folder / "out"
    shutil.copytree(originals.measured, out)
    path = out / "measurements.sqlite"
    content = path.read_bytes()
    path.unlink()
    file_of(rng, path, content, lambda r: pages(r, content))
    if rng.random() < 0.3:
        (out / "measurements.sqlite-wal").write_bytes(rng.randbytes(5000))
    return Case(["table", "fit", str(out)])


def pages(rng: random.Random, content: bytes, size: int = 4096) -> bytes:
    """Whole pages lost, as a power cut leaves them: of zeros, of others, or not there from one on."""
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    for _ in range(rng.choice([1, 1, 3])):
        at = rng.randrange(len(parts))
        parts[at] = rng.choice([bytes(size), rng.choice(parts), parts[at][: size // 2] + bytes(size // 2)])
    return b"".join(parts[: rng.choice([len(parts), rng.randrange(1, len(parts) + 1)])])


def weights(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """A file of weights, its header above all."""
    content = originals.weights.read_bytes()
    [length] = struct.unpack("<Q", content[:8])
    header, body = content[8 : 8 + length], content[8 + length :]

    def mutated(rng: random.Random) -> bytes:
        changed = json_bytes(mutate_json(rng, json.loads(header)))
        size = rng.choice([len(changed), len(changed), 0, 2**63, len(changed) - 1, len(changed) + 1])
        return struct.pack("<Q", size) + changed + body

    path = folder / "weights.safetensors"
    file_of(rng, path, content[: 8 + length], mutated)
    data = folder / "data.npz"
    data.write_bytes(npz(good_arrays()))
    out = str(folder / "out")
    ways = [
        ["export", "--weights", str(path), "--data", str(data), "--out", out],
        ["finetune", "--supernet", str(path), "--config", "8-8", "--data", str(data), "--out", out],
    ]
    return Case(rng.choice(ways))


def runner_output(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """What the runner on a device writes, changed on its way here."""
    path = folder / "model.tflite"
    path.write_bytes(originals.tflite)

    def prepare() -> None:
        from edgewidth.devices.fake.transport import FakeTransport  # noqa: PLC0415  patched in the case's own process

        quick_visits()
        read = FakeTransport.read

        def changed(self: FakeTransport, *args: Any, **kwargs: Any) -> bytes:
            content = read(self, *args, **kwargs)
            lines = content.splitlines(keepends=True)
            if not lines or rng.random() < 0.5:
                return content
            at = rng.randrange(len(lines))
            match rng.randrange(4):
                case 0:
                    lines[at] = broken(rng, lines[at])
                case 1:
                    lines.insert(
                        at, rng.choice([b"\xff\xfe\n", b"{}\n", b"[" * 9000 + b"\n", b'{"t":"end"}\n', b"null\n"])
                    )
                case 2:
                    lines[at] = b""
                case _:
                    try:
                        lines[at] = json_bytes(mutate_json(rng, json.loads(lines[at]))) + b"\n"
                    except ValueError:
                        lines[at] = b"\n"
            return b"".join(lines)

        setattr(FakeTransport, "read", changed)  # noqa: B010 - not the class's business

    return Case(["validate", str(path), "--device", "fake"], prepare)


PRINTED = """STARTING!
Log parameter values verbosely: [0]
Graph: [model.tflite]
Loaded model model.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
The input model file size (MB): 0.13
Initialized session in 1.2ms.
Running benchmark for at least 3 iterations and at least 0 seconds but terminate if exceeding 150 seconds.
count=3 first=50 curr=21 min=20 max=50 avg=30.3333 std=13

Running benchmark for at least 3 iterations and at least 0 seconds but terminate if exceeding 150 seconds.
count=3 first=20 curr=20 min=20 max=21 avg=20.3333 std=0

Inference timings in us: Init: 1200, First inference: 50, Warmup (avg): 30.3333, Inference (avg): 20.3333
"""


def benchmark_output(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """What a native benchmark program prints, and how it ends."""
    path, program, text = folder / "model.tflite", folder / "benchmark_model", folder / "text"
    path.write_bytes(originals.tflite)
    lines = PRINTED.splitlines()
    for _ in range(rng.choice([1, 1, 3])):
        at = rng.randrange(len(lines))
        words = lines[at].split(" ")
        words[rng.randrange(len(words))] = str(rng.choice([text for text in ODD if text != "\ud800"]))
        lines[at] = rng.choice([" ".join(words), "", lines[at] * 3, "count=" * 5000])
    content = "\n".join(lines).encode("utf-8", "replace")
    text.write_bytes(broken(rng, content) if rng.random() < 0.3 else content)
    end = rng.choice(["exit 0", "exit 0", "exit 1", "kill -9 $$", "kill -SEGV $$"])
    stream = rng.choice(["", "", ">&2"])
    program.write_text(f"#!/bin/sh\ncat '{text}' {stream}\n{end}\n")
    program.chmod(0o755)
    device = folder / "device.toml"
    told = {"name": "mine", "transport": "local", "runtime": "benchmark_model", "runtimes": ["benchmark_model"]}
    device.write_text(toml({**told, "benchmark_model": str(program), "workdir": str(folder / "out" / "device")}))
    return Case(["validate", str(path), "--device", str(device)], quick_visits)


def command_line(rng: random.Random, folder: Path, originals: Originals) -> Case:
    """A verb with options that it has, and values that no option expects; nothing that would train for long."""
    verb = rng.choice(list(VERBS))
    command = load(verb)
    words, commands = [verb], getattr(command, "commands", None)
    if commands:
        name = rng.choice(list(commands))
        words, command = [verb, name], commands[name]
    paths = [str(originals.run), str(originals.weights), str(folder / "none"), "/dev/null", "/proc/self/mem"]
    texts = [text for text in HOSTILE if "\ud800" not in text]
    values = [*map(str, NUMBERS), *texts, *paths, "10ms", "60%", "0%", "-5ms", "1e400ms", "int8", "8-8-8", "0.2"]
    options = [
        parameter for parameter in command.params if "--out" not in parameter.opts and parameter.opts[0][0] == "-"
    ]
    for parameter in rng.sample(options, min(rng.choice([0, 1, 2, 4]), len(options))):
        words.append(rng.choice(parameter.opts))
        if not getattr(parameter, "is_flag", False):
            words.append(rng.choice(values))
    words += rng.sample(values, rng.choice([0, 0, 1, 2]))
    # Without anything bad these measure and train for minutes, as they are meant to.
    words += {"run": ["--data", "none"], "train": ["--data", "none"], "profile": ["--device", "none"]}.get(verb, [])
    if rng.random() < 0.7:
        words += ["--out", rng.choice([str(folder / "out"), "/dev/null", "/proc/none", str(originals.weights)])]
    return Case(words)


KINDS: dict[str, Kind] = {
    "tflite": tflite,
    "onnx": onnx_model,
    "input values": input_values,
    "arrays": arrays,
    "images": images,
    "profiles": profile,
    "documents": document,
    "store": store,
    "weights": weights,
    "runner output": runner_output,
    "benchmark output": benchmark_output,
    "command lines": command_line,
}
