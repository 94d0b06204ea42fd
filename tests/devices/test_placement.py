"""What runtimes tell of where operators run, as they told it here, and what is made of it."""

from __future__ import annotations

import os

import pytest

from edgewidth.devices.measure.ran import check_ran, how_it_ran
from edgewidth.devices.measure.warnings import accelerator_warnings
from edgewidth.devices.measure.wire import Placed
from edgewidth.devices.on_device import placement
from edgewidth.devices.on_device.loaded import difference_percent
from edgewidth.errors import DeviceError
from edgewidth.records.measurement import (
    Accelerator,
    Engine,
    OperatorWork,
    Precision,
    Ran,
    Runtime,
    Setting,
    Visit,
)

GPU_LOG = """I0000 environment.cc:532] Selected adapter: SwiftShader Device (Subzero), arch=swiftshader, vendor=google
ERROR: Following operations are not supported by GPU delegate:
{refused}
{taken} operations will run on the GPU, and the remaining {left} operations will run on the CPU.
"""
PLUGIN_LOG = """INFO: [compiler_plugin.cc:524] Partition strategy: 0
INFO: [openvino_compiler_plugin.cc:497] op type 59 is not supported
INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 8 ops, from a total of 9 ops. resulted in 2 partitions.
INFO: [openvino_compile_context.cc:77] Using Intel OpenVINO device: NPU
INFO: [compiled_model.cc:1397] {applied} compiler plugins were applied successfully: IntelOpenVINO compiler plugin
"""
SETTING = Setting(
    device="phone",
    hardware="a phone",
    engine=Engine(runtime=Runtime.LITERT, accelerator=Accelerator.GPU),
    runtime_version="2.3.0",
    threads=1,
    precision=Precision.INT8,
)


def test_nodes_that_a_delegate_took() -> None:
    """Its node has the outermost tensors; what lies between them was taken, constants have no maker."""
    nodes = [
        ("CONV_2D", [0, 10, 11], [1]),
        ("NEG", [1], [2]),
        ("TOPK_V2", [2, 12], [3, 4]),
        ("ADD", [3, 1], [5]),
        ("MEAN", [5, 13], [6]),
        ("DELEGATE", [0, 10, 11], [1, 2]),
        ("DELEGATE", [3, 1, 13], [6]),
    ]
    assert placement.of_nodes(nodes, [0]) == placement.placed(5, 4, partitions=2, left=["TOPK_V2"], left_at=[2])


def test_weights_that_are_made_wide_are_no_operators() -> None:
    """Of float16 constants once; what makes the input wide is one."""
    nodes = [
        ("DEQUANTIZE", [10], [11]),
        ("DEQUANTIZE", [0], [1]),
        ("CONV_2D", [1, 11], [2]),
        ("NEG", [2], [3]),
        ("DELEGATE", [1, 10], [2]),
    ]
    told = placement.of_nodes(nodes, [0])
    assert told == placement.placed(3, 1, partitions=1, left=["DEQUANTIZE", "NEG"], left_at=[1, 3])


def test_a_delegate_that_takes_nothing() -> None:
    assert placement.of_nodes([("NEG", [0], [1])], [0]) == placement.placed(
        1, 0, partitions=0, left=["NEG"], left_at=[0]
    )


@pytest.mark.parametrize(
    ("kinds", "taken", "left_at"),
    [
        (["CONV_2D", "CONV_2D", "NEG", "L2_NORMALIZATION", "NEG"], 3, [3, 4]),
        (["NEG", "L2_NORMALIZATION", "CONV_2D", "CONV_2D"], 2, [0, 1]),
        (["CONV_2D", "L2_NORMALIZATION", "CONV_2D"], 1, None),  # it could be either
    ],
)
def test_a_gpu_takes_one_run_of_operators(kinds: list[str], taken: int, left_at: list[int] | None) -> None:
    """The log says how many and which it does not know; which they are follows where only one run is so long."""
    refused = "L2_NORMALIZATION: Operation is not supported."
    log = GPU_LOG.format(refused=refused, taken=taken, left=len(kinds) - taken)
    found = placement.of_gpu_log(log, kinds, whole=False)
    assert (found["operators"], found["accelerated"], found["left_at"]) == (len(kinds), taken, left_at)
    assert "L2_NORMALIZATION" in found["left"]
    assert found["processor"] == "SwiftShader Device (Subzero)"


def test_a_gpu_that_says_nothing() -> None:
    """Accepted alone it ran all of it; with the processor beside it and no word, nothing."""
    assert placement.of_gpu_log("", ["NEG"], whole=True)["accelerated"] == 1
    assert placement.of_gpu_log("", ["NEG"], whole=False)["accelerated"] == 0


@pytest.mark.parametrize(("applied", "accelerated", "left_at"), [(1, 8, [4]), (0, 0, list(range(9)))])
def test_a_plug_in_that_selects_and_then_fails(applied: int, accelerated: int, left_at: list[int]) -> None:
    """What was selected counts only where the plug-in was applied."""
    names = [""] * 59 + ["NEG"]
    kinds = ["CONV_2D"] * 4 + ["NEG"] + ["CONV_2D"] * 4
    found = placement.of_plugin_log(PLUGIN_LOG.format(applied=applied), kinds, names)
    assert (found["accelerated"], found["left_at"]) == (accelerated, left_at)
    assert found["processor"] == "Intel OpenVINO NPU"


@pytest.mark.parametrize(
    ("log", "operators", "accelerated", "partitions"),
    [
        (
            """INFO: Replacing 27 out of 31 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 3 partitions.
INFO: Replacing 4 out of 4 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions.
""",
            31,
            27,
            3,
        ),
        (GPU_LOG.format(refused="SCATTER_ND: Operation is not supported.", taken=5, left=6), 11, 5, None),
    ],
)
def test_native_programs(log: str, operators: int, accelerated: int, partitions: int | None) -> None:
    """XNNPACK is a delegate, too, and is the processor."""
    found = placement.of_native_log(log)
    assert found is not None
    assert (found["operators"], found["accelerated"], found["partitions"]) == (operators, accelerated, partitions)


def test_native_programs_that_say_nothing() -> None:
    only_cpu = "INFO: Replacing 4 out of 4 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions."
    assert placement.of_native_log(only_cpu) is None


def test_onnx_nodes() -> None:
    """What the runtime put in between is nobody's operator; a name that it lengthened is found again."""
    log = """2026 [V:onnxruntime:, session_state.cc:1598 VerifyEachNodeIsAssignedToAnEp] Node placements
2026 [V:onnxruntime:, session_state.cc:1604 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 4
2026 [V:onnxruntime:, session_state.cc:1606 VerifyEachNodeIsAssignedToAnEp]   Transpose (Transpose_token_3)
2026 [V:onnxruntime:, session_state.cc:1606 VerifyEachNodeIsAssignedToAnEp]   MemcpyFromHost (Memcpy)
2026 [V:onnxruntime:, session_state.cc:1606 VerifyEachNodeIsAssignedToAnEp]   Conv (c1_token_1)
2026 [V:onnxruntime:, session_state.cc:1606 VerifyEachNodeIsAssignedToAnEp]   Relu (r1)
2026 [V:onnxruntime:, session_state.cc:1604 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [CPUExecutionProvider]. Number of nodes: 1
2026 [V:onnxruntime:, session_state.cc:1606 VerifyEachNodeIsAssignedToAnEp]   LRN (lrn_token_9)
"""  # noqa: E501 - as the runtime writes it
    found = placement.of_onnx_log(log, "cudaExecutionProvider")
    assert found == placement.placed(3, 2, left=["LRN"], left_at=["lrn"])
    whole = "x]  All nodes placed on [{}]. Number of nodes: 4"
    on_cpu = placement.of_onnx_log(whole.format("CPUExecutionProvider"), "CUDAExecutionProvider")
    on_gpu = placement.of_onnx_log(whole.format("CUDAExecutionProvider"), "CUDAExecutionProvider")
    assert on_cpu is not None
    assert on_gpu is not None
    assert (on_cpu["accelerated"], on_gpu["accelerated"]) == (0, 4)
    assert placement.of_onnx_log("nothing of the kind", "CUDAExecutionProvider") is None


def test_macs_and_parts_follow_from_the_operators() -> None:
    """The share by what each costs; the parts by where they stand in the file."""
    work = [OperatorWork("a", 600), OperatorWork("b", 300), OperatorWork("c", 0), OperatorWork("d", 100)]
    ran = how_it_ran(Placed(operators=4, accelerated=3, left=("LRN",), left_at=("b",)), work)
    assert ran.macs_percent == pytest.approx(70.0)
    assert (ran.partitions, ran.operators_percent) == (2, 75.0)
    fused = how_it_ran(Placed(operators=3, accelerated=2, left=("X",), left_at=("b_fused",)), work)
    assert (fused.macs_percent, fused.partitions) == (None, None)
    assert how_it_ran(Placed(operators=4, accelerated=4), ()).macs_percent == 100.0
    unnamed = [OperatorWork("", 600), OperatorWork("", 300)]
    assert how_it_ran(Placed(operators=2, accelerated=1, left_at=("",)), unnamed).macs_percent is None


def test_nothing_accelerated_is_no_measurement() -> None:
    with pytest.raises(DeviceError, match="Nothing ran on the gpu of phone: litert left all 2 operators") as caught:
        check_ran(Ran(operators=2, accelerated=0, left=("NEG", "MEAN")), SETTING)
    assert "`allow_fallback`" in (caught.value.remedy or "")
    check_ran(Ran(operators=2, accelerated=1, left=("NEG",)), SETTING)


def warned(ran: Ran | None) -> set[str]:
    visit = Visit(model="8", round=0, started_s=0.0, warmup_ns=(1,), runs_ns=(2,), ran=ran)
    return {warning.code for warning in accelerator_warnings([visit], SETTING)}


def test_warnings() -> None:
    assert warned(None) == {"fallback-unknown"}
    assert warned(Ran(operators=2, accelerated=2, difference_percent=0.4)) == set()
    assert warned(Ran(operators=2, accelerated=1, left=("NEG",))) == {"partly-accelerated"}
    assert warned(Ran(operators=2, accelerated=2, difference_percent=40.0)) == {"wrong-outputs"}
    assert warned(Ran(operators=2, accelerated=2, processor="llvmpipe (LLVM 15)")) == {"software-accelerator"}
    assert warned(Ran(operators=2, accelerated=2, processor="Adreno 740")) == set()


def test_differences_are_in_percent_of_the_range() -> None:
    assert difference_percent([[1.0, 2.0, 3.1]], [[1.0, 2.0, 3.0]]) == pytest.approx(5.0)
    assert difference_percent([[1, 2]], [[1, 2, 3]]) is None
    assert (difference_percent([[float("nan"), 2]], [[1, 2]]) or 0) > 1e6


def test_native_code_is_heard_and_not_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with placement.captured_log() as told:
        os.write(2, b"INFO: from native code\n")
    os.write(2, b"after\n")
    assert told == ["INFO: from native code\n"]
    assert capfd.readouterr().err == "after\n"
