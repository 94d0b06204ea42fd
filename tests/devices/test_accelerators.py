"""Accelerators that this machine can have: what runs there is measured, told and held against the processor.

SwiftShader is a GPU in software, the OpenVINO plug-in takes the part of an NPU, and the delegate is built from
``stand_in_delegate.c``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from small_onnx import onnx_chain
from small_tflite import tflite_chain
from support import require

from edgewidth.devices.device import open_device
from edgewidth.devices.engines.table import engine_named, offered_engines
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.on_device.forked import Child, in_child
from edgewidth.devices.on_device.loaded import Asked
from edgewidth.devices.on_device.runtimes import import_runtime, load
from edgewidth.devices.on_device.tflite import _reason
from edgewidth.devices.on_device.vitals import COMPILED_MODEL
from edgewidth.devices.profiles import AcceleratorSection, DeviceProfile
from edgewidth.errors import DeviceError, InputError, ModelFailedError
from edgewidth.formats.inspect import operator_work
from edgewidth.records.measurement import Accelerator, EngineName, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.records.measurement import MeasurementWarning, Ran, Visit

SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
QUICK = Policy(rounds=2, visit_ms=5, warmup_min_ms=1, warmup_max_ms=20, remeasure=0)
DENSE, NEG, NORM = "FULLY_CONNECTED", "NEG", "L2_NORMALIZATION"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    require(SWIFTSHADER.exists(), "SwiftShader is not installed (Debian: chromium)")
    require(find_library("vulkan"), "Vulkan is not installed (Debian: libvulkan1)")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(SWIFTSHADER))
    monkeypatch.setenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")


@pytest.fixture
def openvino() -> AcceleratorSection:
    require(find_spec("openvino") is not None, "openvino is not installed")
    return AcceleratorSection(litert_options=("intel_openvino.graph_backend=CPU",))


@pytest.fixture(scope="session")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> str:
    gcc = shutil.which("gcc")
    require(gcc, "gcc is not installed")
    library = tmp_path_factory.mktemp("delegate") / "stand_in.so"
    source = Path(__file__).parents[1] / "stand_in_delegate.c"
    subprocess.run([str(gcc), "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    return str(library)


def profile_of(folder: Path, **sections: AcceleratorSection | None) -> DeviceProfile:
    """This machine, with an accelerator."""
    return DeviceProfile(
        name="here",
        transport="local",
        workdir=str(folder / "device"),
        accelerators=tuple(Accelerator),
        min_free_mb=0,
        **sections,
    )


def measured(
    profile: DeviceProfile,
    contents: Sequence[bytes],
    accelerator: Accelerator,
    runtime: EngineName = EngineName.LITERT,
) -> tuple[list[list[Visit]], dict[str, MeasurementWarning]]:
    """The visits to each model in order, and the warnings by code."""
    models = [
        Model(str(place), lambda content=content: content, work=operator_work)  # type: ignore[misc]  # bound now
        for place, content in enumerate(contents)
    ]
    with (
        open_device(profile) as device,
        MeasurementStore(Path(profile.workdir or "") / "m.sqlite") as store,
    ):
        setting = device.setting(engine_named(profile, runtime, accelerator), Precision.FLOAT32, 1)
        warnings = measure(device, setting, models, store, policy=QUICK)
        visits = store.visits(setting)
    return [visits[str(place)] for place in range(len(contents))], {one.code: one for one in warnings}


def ran_of(visits: Sequence[Visit]) -> Ran:
    """What the visit that loaded the model told; the other told nothing."""
    told = [visit.ran for visit in visits if visit.ran is not None]
    assert len(told) == 1
    assert [visit.load_ns is not None for visit in visits] == [visit.ran is not None for visit in visits]
    return told[0]


@pytest.mark.parametrize("accelerator", [Accelerator.CPU, Accelerator.CPU_BUILTIN])
def test_compiled_model_and_interpreter_agree_on_the_processor(tmp_path: Path, accelerator: Accelerator) -> None:
    """The same numbers to the last bit, since both have the same kernels."""
    path = tmp_path / "m.tflite"
    path.write_bytes(tflite_chain([DENSE, NEG, DENSE, NORM]))
    module = import_runtime("litert")
    asked = Asked({"runtime": "litert", "accelerator": accelerator.value}, str(path), 1)
    outputs = []
    for one in (module, module._replace(compiled=None)):
        loaded = load(one, asked)
        # CompiledModel is tried by a run, which is the first inference; what that took is kept.
        assert len(loaded.first_ns) == (one.compiled is not None)
        assert loaded.load_ns is not None
        loaded.run()
        outputs.append(np.ravel(loaded.outputs()[0]))
    assert outputs[0].tolist() == outputs[1].tolist()
    assert np.ptp(outputs[0]) > 0


@pytest.mark.usefixtures("gpu")
def test_a_gpu_takes_all_of_a_model(tmp_path: Path) -> None:
    """Timed to the last byte: SwiftShader takes far longer than the processor, but a call returns at once."""
    content = tflite_chain([DENSE, NEG, DENSE], 256)
    (visits,), warnings = measured(profile_of(tmp_path), [content], Accelerator.GPU)
    ran = ran_of(visits)
    assert (ran.operators, ran.accelerated, ran.partitions, ran.macs_percent) == (3, 3, 1, 100.0)
    assert ran.difference_percent is not None
    assert ran.difference_percent < 0.1
    assert "SwiftShader" in (ran.processor or "")
    assert "software-accelerator" in warnings
    (on_cpu,), _ = measured(profile_of(tmp_path / "cpu"), [content], Accelerator.CPU)
    assert min(visits[-1].runs_ns) > 5 * min(on_cpu[-1].runs_ns)


def test_without_a_gpu_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver, and on a machine without Vulkan that it could not be loaded; LiteRT raises places of its source."""
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "none.json"))
    with pytest.raises(DeviceError, match=r"does not work on here: .*No adapters found"):
        measured(profile_of(tmp_path), [tflite_chain([DENSE])], Accelerator.GPU)


def test_what_was_logged_of_a_failure_is_its_reason() -> None:
    """Each once, where LiteRT raises places of its source alone; warnings that are no reason are none."""
    raised = "ERROR: [./litert/cc/litert_compiled_model.h:1961]\n└ ERROR: [litert/runtime/compiled_model.cc:1036]"
    log = (
        "WARNING: [npu_registry.cc:34] NPU accelerator could not be loaded.\n"
        "Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 500000 to 16\n"
        "Warning: Couldn't load Vulkan: libvulkan.so.1: no such file\n    at operator()\n"
        "ERROR: [delegate_webgpu.cc:359] No adapters found\nERROR: [delegate_webgpu.cc:359] No adapters found\n"
        "ERROR: [compiled_model.cc:3]\n"
    )
    assert _reason(log, raised) == "Couldn't load Vulkan: libvulkan.so.1: no such file; No adapters found"
    assert _reason("", raised) == "LiteRT gives no reason"
    assert _reason(log, f"{raised} Out of memory") == "Out of memory"
    assert _reason("INFO: all is well\n", "") == "LiteRT gives no reason"


@pytest.mark.usefixtures("gpu")
def test_a_gpu_takes_a_part(tmp_path: Path) -> None:
    """The longest run of what it knows, here the first two; each of three dense layers costs the same."""
    (visits,), warnings = measured(profile_of(tmp_path), [tflite_chain([DENSE, DENSE, NORM, DENSE])], Accelerator.GPU)
    ran = ran_of(visits)
    assert (ran.operators, ran.accelerated) == (4, 2)
    assert ran.macs_percent == pytest.approx(200 / 3)
    assert NORM in ran.left
    assert NORM in warnings["partly-accelerated"].message


@pytest.mark.usefixtures("gpu")
def test_a_gpu_takes_nothing(tmp_path: Path) -> None:
    """That is no measurement, unless it is allowed; nothing of it is kept."""
    profile, content = profile_of(tmp_path), tflite_chain([NORM])
    with pytest.raises(DeviceError, match=f"Nothing ran on the gpu of here: litert left all 1 operators.*{NORM}"):
        measured(profile, [content], Accelerator.GPU)
    (visits,), warnings = measured(profile.model_copy(update={"allow_fallback": True}), [content], Accelerator.GPU)
    assert ran_of(visits).accelerated == 0
    assert "partly-accelerated" in warnings


def test_an_npu_takes_all_of_a_model(tmp_path: Path, openvino: AcceleratorSection) -> None:
    """Each of many models is loaded once, though visited in every round."""
    contents = [tflite_chain([DENSE] * count) for count in range(1, 11)]
    every, _ = measured(profile_of(tmp_path, npu=openvino), contents, Accelerator.NPU)
    for count, visits in enumerate(every, 1):
        ran = ran_of(visits)
        assert (ran.operators, ran.accelerated, ran.partitions) == (count, count, 1)
        assert ran.difference_percent is not None
        assert ran.difference_percent < 2


def test_an_npu_takes_a_part(tmp_path: Path, openvino: AcceleratorSection) -> None:
    """The plug-in does not know NEG."""
    profile = profile_of(tmp_path, npu=openvino)
    (visits,), warnings = measured(profile, [tflite_chain([DENSE, DENSE, NEG])], Accelerator.NPU)
    ran = ran_of(visits)
    assert (ran.operators, ran.accelerated, ran.left, ran.macs_percent) == (3, 2, (NEG,), 100.0)
    assert NEG in warnings["partly-accelerated"].message


def test_an_npu_that_fails_is_no_silent_fallback(tmp_path: Path, openvino: AcceleratorSection) -> None:
    """There is no such NPU here: the plug-in selects all, fails to compile, and LiteRT would go on without it."""
    profile = profile_of(tmp_path, npu=openvino.model_copy(update={"litert_options": ()}))
    with pytest.raises(DeviceError, match="Nothing ran on the npu"):
        measured(profile, [tflite_chain([DENSE])], Accelerator.NPU)


def test_an_option_that_litert_does_not_know(tmp_path: Path) -> None:
    section = AcceleratorSection(litert_options=("intel_openvino.speed=11",))
    with pytest.raises(DeviceError, match=r"does not work on here: LiteRT knows no option intel_openvino\.speed"):
        measured(profile_of(tmp_path, npu=section), [tflite_chain([DENSE])], Accelerator.NPU)


def test_an_external_delegate(tmp_path: Path, delegate: str) -> None:
    """It takes every NEG, so that the dense layers stay: none of the multiply-accumulates is its."""
    profile = profile_of(tmp_path, npu=AcceleratorSection(delegate=delegate))
    with open_device(profile) as device:
        setting = device.setting(engine_named(profile, None, Accelerator.NPU), Precision.FLOAT32, 1)
        assert COMPILED_MODEL not in setting.runtime_version
        assert str(setting.engine) == f"litert on npu ({delegate})"
    (mixed, whole), warnings = measured(
        profile, [tflite_chain([DENSE, NEG, DENSE, NEG, DENSE]), tflite_chain([NEG])], Accelerator.NPU
    )
    ran = ran_of(mixed)
    assert (ran.operators, ran.accelerated, ran.partitions, ran.left) == (5, 2, 2, (DENSE,))
    assert (ran.macs_percent, ran.difference_percent) == (0.0, 0.0)
    assert ran_of(whole).operators_percent == 100.0
    assert "in 2 parts" in warnings["partly-accelerated"].message


@pytest.mark.parametrize(
    ("option", "kinds", "says"),
    [
        ("take=nothing", [NEG], "Nothing ran on the npu"),
        ("take=negs", [DENSE], "Nothing ran on the npu"),
        ("load=fail", [NEG], "does not work on here: the delegate .* could not be loaded"),
    ],
)
def test_a_delegate_that_does_nothing(tmp_path: Path, delegate: str, option: str, kinds: list[str], says: str) -> None:
    section = AcceleratorSection(delegate=delegate, delegate_options=(option,))
    with pytest.raises(DeviceError, match=says) as caught:
        measured(profile_of(tmp_path, npu=section), [tflite_chain(kinds)], Accelerator.NPU)
    assert not isinstance(caught.value, ModelFailedError)


def test_a_delegate_that_answers_wrongly(tmp_path: Path, delegate: str) -> None:
    section = AcceleratorSection(delegate=delegate, delegate_options=("answer=wrong",))
    _, warnings = measured(profile_of(tmp_path, npu=section), [tflite_chain([NEG])], Accelerator.NPU)
    assert "differ from the processor's" in warnings["wrong-outputs"].message


def test_a_delegate_that_is_not_there(tmp_path: Path) -> None:
    section = AcceleratorSection(delegate="/nowhere/lib.so")
    with pytest.raises(DeviceError, match=r"the delegate /nowhere/lib\.so could not be loaded"):
        measured(profile_of(tmp_path, npu=section), [tflite_chain([NEG])], Accelerator.NPU)


@pytest.mark.usefixtures("gpu")
def test_an_execution_provider_splits_the_graph(tmp_path: Path) -> None:
    """A plug-in from a Python package. Both convolutions run on the accelerator, before and behind what it leaves."""
    require(find_spec("onnxruntime_ep_webgpu") is not None, "onnxruntime-ep-webgpu is not installed")
    section = AcceleratorSection(provider="WebGpu", provider_library="onnxruntime_ep_webgpu")
    contents = [onnx_chain(["Conv", "Relu", "LRN", "Conv"]), onnx_chain(["Conv", "Relu"]), onnx_chain(["LRN"])]
    profile = profile_of(tmp_path, gpu=section)
    (split, whole), warnings = measured(profile, contents[:2], Accelerator.GPU, EngineName.ONNXRUNTIME)
    ran = ran_of(split)
    assert (ran.operators, ran.accelerated, ran.partitions, ran.left) == (4, 3, 2, ("LRN",))
    assert ran.macs_percent == pytest.approx(100.0)
    assert ran.difference_percent is not None
    assert ran.difference_percent < 0.1
    assert (ran_of(whole).operators_percent, ran_of(whole).partitions) == (100.0, 1)
    assert "LRN" in warnings["partly-accelerated"].message
    with pytest.raises(DeviceError, match="Nothing ran on the gpu of here: onnxruntime left all 1 operators"):
        measured(profile_of(tmp_path / "none", gpu=section), contents[2:], Accelerator.GPU, EngineName.ONNXRUNTIME)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        (AcceleratorSection(provider="CUDA"), "this onnxruntime has no CUDAExecutionProvider"),
        (
            AcceleratorSection(provider="QNN", provider_library="/nowhere/qnn.so"),
            "library .* could not be used",
        ),
        (
            AcceleratorSection(provider="QNN", provider_library="no_such_package"),
            "library .* could not be used",
        ),
    ],
)
def test_a_provider_that_is_not_there(tmp_path: Path, section: AcceleratorSection, says: str) -> None:
    """ONNX Runtime itself would warn and use the processor."""
    with pytest.raises(DeviceError, match=says):
        measured(profile_of(tmp_path, gpu=section), [onnx_chain(["Conv"])], Accelerator.GPU, EngineName.ONNXRUNTIME)


def test_a_process_that_dies_after_its_answer_has_answered() -> None:
    """WebGPU's processes do, now and then."""

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        return {"twice": 2 * question["number"]}

    child = Child(answer)
    assert child.ask({"number": 3}, 5, lambda: None) == {"twice": 6}
    os.kill(child._pid, signal.SIGKILL)
    child.close()
    assert in_child(lambda: {"number": 1}, 5, lambda: None) == {"number": 1}


def test_a_kept_process_is_not_kept_alive_by_its_brother() -> None:
    """Each ends when nobody asks it any more, though another was forked in between."""
    first, second = (Child(lambda question: question) for _ in range(2))
    pid = first._pid
    first.close()
    assert not Path(f"/proc/{pid}").exists()
    assert second.ask({"a": 1}, 5, lambda: None) == {"a": 1}
    second.close()


def test_what_a_profile_offers(tmp_path: Path) -> None:
    """Each runtime on each accelerator that it has a way to."""
    profile = profile_of(tmp_path, gpu=AcceleratorSection(provider="CUDA", provider_options=("device_id=0",)))
    assert [str(engine) for engine in offered_engines(profile)] == [
        "litert",
        "litert on cpu-builtin",
        "litert on gpu",
        "litert on npu",
        "onnxruntime",
        "onnxruntime on gpu (CUDA device_id=0)",
    ]
    with pytest.raises(InputError, match="onnxruntime has no way to the accelerator npu") as caught:
        engine_named(profile, EngineName.ONNXRUNTIME, Accelerator.NPU)
    assert "`npu.provider=" in (caught.value.remedy or "")
    plain = profile.model_copy(update={"accelerators": (Accelerator.CPU,), "gpu": None})
    with pytest.raises(InputError, match="does not offer the accelerator gpu"):
        engine_named(plain, None, Accelerator.GPU)
