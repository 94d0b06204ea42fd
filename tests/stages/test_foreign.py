"""Files of other makers, validated on this machine: each is measured as it says, or refused in a sentence."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_tflite import small_tflite, with_second_graph
from support import SHARED_CASES

from edgewidth.cli.main import exit_code
from edgewidth.devices.measure.policy import Policy
from edgewidth.formats.tflite.file import read_model, write_model

QUICK = Policy(rounds=1, visit_ms=2, warmup_min_ms=1, warmup_max_ms=5, remeasure=0, load_limit_s=3, visit_max_ms=100)
ASKED = {
    "tfl-16x8": (0, '"precision": "16x8"'),
    "tfl-dyn-hw": (2, "--input-shape 1x224x224x3"),
    "tfl-flex": (2, "FlexMatrixDeterminant"),
    "tfl-int32-ids": (0, "1×16 int32, zeros"),
    "tfl-no-input": (0, "median"),
    "tfl-string": (2, "takes text, which cannot be made up"),
    "tfl-two-sigs": (0, "infer was measured; --signature"),
    "tfl-uint8": (0, '"precision": "int8"'),
    "onnx-dyn-hw": (2, "--input-shape 1x3x224x224"),
    "onnx-external": (0, "1×3×64×64 float32"),
    "onnx-fp16": (0, "float16"),
    "onnx-int64": (0, "int64, zeros"),
    "onnx-ir-new": (2, "Unsupported model IR version: 99"),
    "onnx-string": (2, "takes text, which cannot be made up"),
    "dmg-ssd-post-70": (2, "damaged"),
    "dmg-uint8-sig11": (2, "damaged"),
    "dmg-uint8-sig14": (2, "damaged"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short visit is enough to see that a model runs."""
    monkeypatch.setattr("edgewidth.stages.validate.visiting", lambda *_, **__: QUICK)


@pytest.mark.parametrize("case", ASKED)
def test_reported_files(case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of the kind that people report, where they lie beside the checkout."""
    if not SHARED_CASES.is_dir():
        pytest.skip(f"{SHARED_CASES} is not there")
    monkeypatch.chdir(SHARED_CASES)
    code, told = ASKED[case]
    words = shlex.split((SHARED_CASES / case / "cmd").read_text())
    assert exit_code(words[1:]) == code
    printed = capsys.readouterr()
    assert told in printed.out + printed.err
    assert code == 0 or printed.err.count("\n  → ") <= 1


def test_the_reported_program_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A native program's own reason reaches the user."""
    if not SHARED_CASES.is_dir():
        pytest.skip(f"{SHARED_CASES} is not there")
    profile = tmp_path / "dev.toml"
    text = (SHARED_CASES / "bm-fail" / "dev.toml").read_text().replace("CASES", str(SHARED_CASES))
    profile.write_text(text)
    told = refused(SHARED_CASES / "tfl-uint8" / "m.tflite", capsys, "--device", str(profile), "--budget", "3ms")
    assert "ended with 1: Select TensorFlow op(s), included in the given model" in told


def onnx_file(path: Path, operator: str, kind: int, shape: list[Any], constants: dict[str, Any], **more: Any) -> Path:
    """One operator, from ``x`` and constants to ``y``."""
    helper = onnx.helper
    node = helper.make_node(operator, ["x", *constants] if operator != "Gather" else [*constants, "x"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", more.pop("gives", kind), None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", more.pop("opset", 17))
    path.write_bytes(helper.make_model(graph, opset_imports=[opset], **({"ir_version": 8} | more)).SerializeToString())
    return path


def validated(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """What ``edgewidth validate`` prints of a file that it measures."""
    assert exit_code(["validate", str(path), "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The message with which it refuses one."""
    assert exit_code(["validate", str(path), *more]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "BOOL"])
def test_inputs_of_every_type_are_made_up(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was given is said in the report."""
    path = onnx_file(tmp_path / "m.onnx", "Identity", getattr(onnx.TensorProto, kind), ["n", 4], {})
    [one] = validated(path, capsys)["inputs"]
    expected = {"FLOAT": "float32", "DOUBLE": "float64"}.get(kind, kind.lower())
    values = "zeros" if kind in {"INT32", "INT64"} else "random"
    assert (one["shape"], one["dtype"], one["values"]) == ([1, 4], expected, values)


def test_no_name_in_a_file_commands_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither where it is measured nor where it is refused."""
    node = onnx.helper.make_node("Relu", ["\x1b[2J"], ["y"])
    for size, code in ((4, 0), ("n", 2)):
        tensors = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, size]) for n in ("\x1b[2J", "y")]
        graph = onnx.helper.make_graph([node], "g", tensors[:1], tensors[1:])
        path, opset = tmp_path / "m.onnx", onnx.helper.make_opsetid("", 17)
        path.write_bytes(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())
        assert exit_code(["validate", str(path)]) == code
        printed = "".join(capsys.readouterr())
        assert "\N{REPLACEMENT CHARACTER}[2J" in printed
        assert "\x1b" not in printed


def test_sizes_of_ones_own_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A product with a matrix of 64×64 takes longer of more rows."""
    weights = {"w": np.ones((64, 64), np.float32)}
    path = onnx_file(tmp_path / "m.onnx", "MatMul", onnx.TensorProto.FLOAT, [1, "rows", 64], weights)
    assert "x is 1×?×64" in refused(path, capsys)
    small, large = (validated(path, capsys, "--input-shape", f"1x{rows}x64") for rows in (1, 20_000))
    assert [one["inputs"][0]["shape"][1] for one in (small, large)] == [1, 20_000]
    assert large["estimate"]["value_ms"] > 10 * small["estimate"]["value_ms"]


def test_a_tflite_file_is_resized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = read_model(small_tflite())
    for tensor in (model.subgraphs[0].tensors[0], model.subgraphs[0].tensors[3]):
        tensor.shapeSignature = [-1, *tensor.shape[1:]]
    path = tmp_path / "m.tflite"
    path.write_bytes(write_model(model))
    assert validated(path, capsys)["inputs"][0]["shape"] == [1, 256]
    assert validated(path, capsys, "--input-shape", "7x256")["inputs"][0]["shape"] == [7, 256]


@pytest.mark.parametrize("signed", [True, False])
def test_another_signature_or_graph_is_measured(
    signed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its input is of another type, which the first one's would not take."""
    path = tmp_path / "m.tflite"
    path.write_bytes(with_second_graph(small_tflite(), signed=signed))
    first, second = (validated(path, capsys, *more) for more in ((), ("--signature", "other")))
    assert [one["signature"] for one in (first, second)] == ["first", "other"]
    assert [one["inputs"][0]["dtype"] for one in (first, second)] == ["float32", "int64"]
    assert second["inputs"][0]["shape"] == [1, 7]
    message = refused(path, capsys, "--signature", "third")
    assert "no signature third" in message
    assert "There are: first, other" in message
    told = onnx_file(tmp_path / "m.onnx", "Relu", onnx.TensorProto.FLOAT, [1, 4], {})
    assert "Leave --signature out" in refused(told, capsys, "--signature", "first")


def test_ids_out_of_a_table_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Zeros are in every table; others are the user's to give."""
    table = {"t": np.zeros((5, 2), np.float32)}
    kinds = {"gives": onnx.TensorProto.FLOAT}
    path = onnx_file(tmp_path / "m.onnx", "Gather", onnx.TensorProto.INT64, [1, 3], table, **kinds)
    assert validated(path, capsys)["inputs"][0]["values"] == "zeros"
    np.savez(tmp_path / "v.npz", x=[[1, 4, 2]])
    assert validated(path, capsys, "--input-values", str(tmp_path / "v.npz"))["inputs"][0]["values"] == "given"
    np.savez(tmp_path / "v.npz", x=[[1, 5, 2]])
    assert "does not run on local" in refused(path, capsys, "--input-values", str(tmp_path / "v.npz"))
    message = refused(path, capsys, "--input-values", "random")
    assert "x was random: if the model needs others, give them, --input-values FILE.npz" in message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ir_version": 99}, "Unsupported model IR version: 99"),
        ({"opset": 99}, "opset"),
        ({"operator": "NoSuch"}, "NoSuch"),
    ],
)
def test_what_the_runtime_does_not_know_is_its_to_say(
    more: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a line of its source code."""
    operator = more.pop("operator", "Relu")
    told = refused(onnx_file(tmp_path / "m.onnx", operator, onnx.TensorProto.FLOAT, [1, 4], {}, **more), capsys)
    assert message in told
    assert ".cc" not in told
    assert "::" not in told


def test_a_model_that_hangs_or_takes_all_memory_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that a model may take, and without anybody else having to go."""
    shape = {"s": np.array([1 << 14, 1 << 15, 1 << 8], np.int64)}
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    path = onnx_file(tmp_path / "m.onnx", "Expand", kind, [1], shape)
    assert "does not run on local with onnxruntime" in refused(path, capsys)
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["w"])],
        "forever",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", kind, [1]),
        ],
        [
            helper.make_tensor_value_info("d", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", kind, [1]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", kind, [1])],
        [helper.make_tensor_value_info("y", kind, [1])],
        [onnx.numpy_helper.from_array(np.array(True), "t")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    del monkeypatch
    assert "no result within 4 s" in refused(path, capsys)
