"""Native benchmark programs: their output formats, and campaigns on a phone that has no Python."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from devices.test_adb import put_program

from edgewidth.devices.device import Device, open_device
from edgewidth.devices.engines.benchmark_model import (
    BENCHMARK_MODEL,
    Statistics,
    accelerator_words,
    benchmark_model_words,
    entry_words,
    input_words,
    parse_benchmark_model,
)
from edgewidth.devices.engines.perf_test import PERF_TEST, parse_perf_test, perf_test_words, provider_words
from edgewidth.devices.engines.table import engine_named
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.estimate import estimate
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.on_device.visit import VisitError
from edgewidth.devices.profiles import AcceleratorSection, DeviceProfile
from edgewidth.errors import DeviceError, ProfileError, SurroundingsError
from edgewidth.records.measurement import Accelerator, DeviceState, EngineName, Precision, Setting, Statistic

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.adb_daemon import AdbDaemon

QUICK = Policy(rounds=2, visit_ms=60, min_runs=6, warmup_min_ms=10, warmup_max_ms=100, remeasure=0, patience_s=0.5)

NEW = """INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Min num runs: [3]
INFO: Graph: [model.tflite]
INFO: Loaded model model.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: Initialized session in 12.75ms.
INFO: Running benchmark for at least 3 iterations and at least 0 seconds but terminate if exceeding 150 seconds.
INFO: count=3 first=14744 curr=13520 min=13164 max=14744 avg=13809.3 std=674 p5=13164 median=13520 p95=14744

INFO: Running benchmark for at least 3 iterations and at least 0 seconds but terminate if exceeding 150 seconds.
INFO: count=3 first=13200 curr=13315 min=13105 max=13315 avg=13206.7 std=86 p5=13105 median=13200 p95=13315

INFO: Inference timings in us: Init: 12750, First inference: 14744, Warmup (avg): 13809.3, Inference (avg): 13206.7
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE
INFO: Overall peak memory footprint (MB) via periodic monitoring: 23.5
"""
MIDDLE = """count=3 first=49060 curr=33682 min=33601 max=49060 avg=38781 std=7268

count=3 first=32891 curr=33978 min=32891 max=33978 avg=33253.3 std=450

Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 38781, Inference (avg): 33253.3
Peak memory footprint (MB): init=0 overall=12.8672
"""
OLD = """STARTING!
Initialized session in 9.933ms
Running benchmark for 3 iterations
curr=66709 count=3 min=66700 max=127425 avg=86944.7 std=20944
Running benchmark for 3 iterations
curr=66800 count=3(all same)
Average inference timings in us: Warmup: 86944.7, Init: 9933, no stats: 66800
"""


@pytest.mark.parametrize(
    ("text", "warm_up_us", "runs_us"),
    [
        (NEW, [13164, 13520, 14744], [13105, 13200, 13315]),
        (MIDDLE, [33601, 33682, 49060], [32891, 32891, 33978]),
        (OLD, [66700, 66709, 127425], [66800] * 3),
    ],
)
def test_all_formats_of_benchmark_model(text: str, warm_up_us: list[int], runs_us: list[int]) -> None:
    """Builds with percentiles, without, and from before ``first=``: every run is told."""
    ((warm_up, measured),) = parse_benchmark_model(text)
    assert warm_up.values_ns() == [1000 * value for value in warm_up_us]
    assert measured.values_ns() == [1000 * value for value in runs_us]


def test_several_invocations_in_one_output() -> None:
    """What a loop on the phone prints is taken apart again."""
    assert len(parse_benchmark_model(NEW * 3)) == 3
    assert parse_benchmark_model("") == []


def test_three_runs_are_told_exactly_by_what_is_printed() -> None:
    """Printed as C++ does (six digits), with a median and without: all three values come back."""
    rng = random.Random(0)
    for _ in range(300):
        scale = 10 ** rng.uniform(1, 6.5)
        values = sorted(rng.randrange(1, int(scale) + 2) for _ in range(3))
        line = f"count=3 first=1 curr=1 min={values[0]} max={values[2]} avg={sum(values) / 3:g} std=1"
        same = f"count=3 curr={values[0]}(all same)" if values[0] == values[2] else None
        for text in (same or line, same or f"{line} p5={values[0]} median={values[1]} p95={values[2]}"):
            ((first, second),) = parse_benchmark_model(f"{text}\n{text}")
            assert first == second
            told = [value / 1000 for value in first.values_ns()]
            # Six digits of the mean: half a unit in the last of them, three times.
            slack = 0 if "median" in text else 1.5 * 10 ** max(0, len(str(sum(values) // 3)) - 6)
            assert told == pytest.approx(values, abs=max(slack, 1) if slack else 0)


def test_large_numbers_and_single_runs() -> None:
    ((warm_up, measured),) = parse_benchmark_model("count=1 curr=1234567\ncount=2 first=2 curr=1 min=1 max=2 avg=1.5")
    assert warm_up.values_ns() == [1_234_567_000]
    assert measured.values_ns() == [1000, 2000]
    text = "count=3 first=1 curr=1 min=1234567 max=1234569 avg=1.23457e+06 std=1"
    ((one, _),) = parse_benchmark_model(f"{text}\n{text}")
    assert one.values_ns()[::2] == [1_234_567_000, 1_234_569_000]


@pytest.mark.parametrize(
    "line",
    [
        "count=0",
        "count=3 min=5 max=9 std=1",
        "count=50 first=5 curr=5 min=5 max=9 avg=7 std=1",
        "count=3 first=5 curr=5 min=5 max=9 avg=12 std=1",
        "count=3 first=5 curr=5 min=9 max=5 avg=7 std=1",
        "count=3 first=5 curr=5 min=5 max=nan avg=7 std=1",
    ],
)
def test_statistics_that_tell_no_values(line: str) -> None:
    """Nothing is made up from a line that lacks something or contradicts itself."""
    with pytest.raises(VisitError):
        [each.values_ns() for pair in parse_benchmark_model(f"{line}\n{line}") for each in pair]
    with pytest.raises(VisitError):
        Statistics(0, 1, 1, 1).values_ns()


def test_both_formats_of_perf_test() -> None:
    """With one time per run, and with the time to submit before the time in all."""
    assert parse_perf_test("model,0.00517,1234,99,0\nmodel,5.25e-05,1234,99,1\n") == [5_170_000, 52_500]
    assert parse_perf_test("a,b 1,0.001,0.00517,1234,99,0\n") == [5_170_000]
    for text in ("", "failed to open", "model,fast,1234,99,0", "model,0.005,1234\n", "model,inf,1,1,0"):
        with pytest.raises(VisitError):
            parse_perf_test(text)


def test_what_leads_to_an_accelerator() -> None:
    """What each program is told, with a cache where its delegate compiles and each process would do so anew."""
    cache = ["--delegate_serialize_dir=c", "--delegate_serialize_token=model"]
    told: list[tuple[dict[str, Any], list[str]]] = [
        ({"accelerator": "cpu"}, []),
        ({"accelerator": "cpu-builtin"}, ["--use_xnnpack=false"]),
        ({"accelerator": "gpu"}, ["--use_gpu=true", *cache]),
        ({"accelerator": "npu", "delegate": "nnapi"}, ["--use_nnapi=true", *cache]),
        ({"accelerator": "npu", "delegate": "hexagon"}, ["--use_hexagon=true"]),
        ({"accelerator": "npu", "delegate": "coreml"}, ["--use_coreml=true"]),
        (
            {"accelerator": "npu", "delegate": "/a/b.so", "options": {"x": "1", "y": "2"}},
            ["--external_delegate_path=/a/b.so", "--external_delegate_options=x:1;y:2"],
        ),
    ]
    for way, words in told:
        assert accelerator_words(way, cache="c") == words
    assert provider_words({"accelerator": "cpu"}) == ["-e", "cpu"]
    tensorrt = {"provider": "Tensorrt", "options": {"trt_fp16_enable": "1", "a": "b"}}
    assert provider_words(tensorrt) == ["-v", "-e", "tensorrt", "-i", "trt_fp16_enable|1 a|b"]


def test_argument_lists() -> None:
    """Exactly what the programs are told."""
    assert benchmark_model_words("/a b/m.tflite", 4) == [
        "--graph=/a b/m.tflite",
        "--num_threads=4",
        "--num_runs=3",
        "--min_secs=0",
        "--warmup_runs=3",
        "--warmup_min_secs=0",
    ]
    assert perf_test_words("m.onnx", "r.csv", 2, 50) == (
        ["-m", "times", "-r", "50", "-x", "2", "-y", "1", "-I", "m.onnx", "r.csv"]
    )


BENCHMARK_MODEL_SCRIPT = f"""#!{sys.executable}
import os, random, sys
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
content = open(flags["graph"], "rb").read()
assert flags["min_secs"] == flags["warmup_min_secs"] == "0"
if content == b"not a model":
    print("ERROR: Failed to load model " + flags["graph"])
    sys.exit(1)
rng, scale = random.Random(), len(content)  # as many microseconds as the model has bytes
def told(count, slow):
    runs = [int(scale * slow * rng.uniform(0.99, 1.01)) for _ in range(count)]
    line = f"count={{count}} first={{runs[0]}} curr={{runs[-1]}} min={{min(runs)}} max={{max(runs)}}"
    return line + f" avg={{sum(runs) / count:g}} std=1" + STYLE.format(*sorted(runs))
STYLE = " p5={{0}} median={{1}} p95={{2}}" if os.path.exists(__file__ + ".new") else ""
print("STARTING!")
took = "Replacing 27 out of 31 node(s) with delegate ({{}}) node, yielding 3 partitions for the whole graph."
if "delegate_serialize_dir" in flags:
    assert os.path.isdir(flags["delegate_serialize_dir"])
    open(flags["delegate_serialize_dir"] + "/compiled", "w").close()
if flags.get("use_gpu") == "true":
    print("ERROR: Following operations are not supported by GPU delegate:\\nMIRROR_PAD: Only reflective padding.")
    print("30 operations will run on the GPU, and the remaining 1 operations will run on the CPU.")
if flags.get("use_nnapi") == "true":
    print("INFO: " + took.format("TfLiteNnapiDelegate"))
if "external_delegate_path" in flags:
    print("INFO: " + took.format("TheirDelegate").replace("27", "0" if "nothing" in str(flags) else "31"))
print(told(int(flags["warmup_runs"]), 1.5) + "\\n\\n" + told(int(flags["num_runs"]), 1.0))
print("Inference timings in us: Init: 855, First inference: 1, Warmup (avg): 1, Inference (avg): 1")
"""

PERF_TEST_SCRIPT = f"""#!{sys.executable}
import sys
words = sys.argv[1:]
assert words[-2].endswith(".onnx") and words[words.index("-m") + 1] == "times" and "-I" in words
seconds = len(open(words[-2], "rb").read()) / 1e6
if words[words.index("-e") + 1] != "cpu":
    place = "VerifyEachNodeIsAssignedToAnEp] "
    print(place + " Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 2" if "-v" in words else "")
    print(place + "  Conv (c1)\\n" + place + "  Relu (r1)")
    print(place + " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 1\\n" + place + "  LRN (lrn)")
with open(words[-1], "a") as result:
    for run in range(int(words[words.index("-r") + 1])):
        result.write(f"models,{{seconds:g}},{{seconds * (1 + 0.001 * (run % 3)):g}},1234,99,{{run}}\\n")
print("Session creation time cost: 0.01 s")
"""


@pytest.fixture
def phone_profile(
    make_phone: Callable[..., AdbDaemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DeviceProfile:
    """A phone without Python, with a benchmark program that is pushed from here."""
    monkeypatch.setenv("EDGEWIDTH_CACHE", str(tmp_path / "cache"))
    for name, text in (("benchmark model", BENCHMARK_MODEL_SCRIPT), ("perf_test", PERF_TEST_SCRIPT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    phone = make_phone()
    return DeviceProfile(
        name="phone",
        transport="adb",
        address=phone.serial,
        workdir=f"{tmp_path}/it's a phone",
        python="/no/python",
        runtime=EngineName.BENCHMARK_MODEL,
        runtimes=(EngineName.BENCHMARK_MODEL, EngineName.ONNXRUNTIME),
        benchmark_model=f"push:{tmp_path}/benchmark model",
        onnxruntime_perf_test=str(tmp_path / "perf_test"),
    )


def models(*sizes: int) -> list[Model]:
    """Models that take as many microseconds as they have bytes."""
    return [Model(str(size), lambda size=size: b"x" * size) for size in sizes]  # type: ignore[misc]  # bound now


def medians(device: Device, setting: Setting, chosen: list[Model], folder: Path) -> dict[str, float]:
    """The median latency of each model, measured."""
    with MeasurementStore(folder / "m.sqlite") as store:
        measure(device, setting, chosen, store, policy=QUICK)
        visits = store.visits(setting)
    counted = {key: [visit.model_copy(update={"disturbed": None}) for visit in some] for key, some in visits.items()}
    assert {len(some) for some in counted.values()} == {QUICK.rounds}
    assert all(len(visit.runs_ns) >= QUICK.min_runs for some in counted.values() for visit in some)
    return {key: estimate(some, Statistic.MEDIAN).value_ms for key, some in counted.items()}


@pytest.mark.parametrize("style", ["", ".new"])
def test_a_campaign_with_benchmark_model(phone_profile: DeviceProfile, tmp_path: Path, style: str) -> None:
    """Pushed, started, read and understood over adb; the phone is left as it was found."""
    if style:  # beside the program on the phone: it prints percentiles
        folder = tmp_path / "it's a phone" / "programs"
        folder.mkdir(parents=True)
        (folder / f"benchmark_model{style}").touch()
    with open_device(phone_profile) as device:
        setting = device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        assert setting.runtime_version.startswith("sha256:")
        found = medians(device, setting, models(2000, 9000), tmp_path)
    assert found == pytest.approx({"2000": 2.0, "9000": 9.0}, rel=0.02)
    assert not list((tmp_path / "it's a phone" / "models").iterdir())
    assert not list((tmp_path / "cache" / "native" / "phone").iterdir())


def test_a_campaign_with_perf_test(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    """ONNX Runtime without Python; every run is in the result file."""
    with open_device(phone_profile) as device:
        setting = device.setting(PERF_TEST.engine, Precision.FLOAT32, 2)
        found = medians(device, setting, models(3000), tmp_path)
    assert found == pytest.approx({"3000": 3.003}, rel=1e-4)


def test_a_phone_that_cools_down_is_not_silent(
    phone_profile: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked in quick commands, for longer than a runner may say nothing."""
    began: list[float] = []

    def state(*_: object, **__: object) -> DeviceState:
        began.append(time.monotonic())
        return DeviceState(temperature_c=50 if began[-1] < began[0] + 2 else 35)

    monkeypatch.setattr("edgewidth.devices.measure.native.shell_state", state)
    monkeypatch.setattr("edgewidth.devices.measure.native.pause", lambda _: time.sleep(0.1))
    policy = QUICK.model_copy(update={"silence_s": 0.6, "restarts": 0, "rounds": 1})
    profile = phone_profile.model_copy(update={"cool_down_c": 40.0})
    with open_device(profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        setting = device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        measure(device, setting, models(2000), store, policy=policy)
        assert len(store.visits(setting)["2000"]) == 1
    assert began[-1] > began[0] + 2


NPU = AcceleratorSection(delegate="/vendor/lib/it.so", delegate_options=("backend=htp", "mode=nothing"))


@pytest.mark.parametrize(
    ("sections", "accelerator", "accelerated", "left"),
    [
        ({}, Accelerator.GPU, (30, 31, None), ("MIRROR_PAD",)),
        ({}, Accelerator.NPU, (27, 31, 3), ()),
        ({"npu": NPU.model_copy(update={"delegate_options": ()})}, Accelerator.NPU, (31, 31, 3), ()),
    ],
)
def test_benchmark_model_tells_what_ran_on_an_accelerator(
    phone_profile: DeviceProfile,
    tmp_path: Path,
    sections: dict[str, AcceleratorSection],
    accelerator: Accelerator,
    accelerated: tuple[int, int, int | None],
    left: tuple[str, ...],
) -> None:
    """From its partition lines, with the time that loading took; what a delegate compiled goes with the model."""
    profile = phone_profile.model_copy(update={"accelerators": tuple(Accelerator), **sections})
    with open_device(profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        setting = device.setting(engine_named(profile, None, accelerator), Precision.INT8, 1)
        warnings = measure(device, setting, models(2000), store, policy=QUICK)
        (visits,) = store.visits(setting).values()
    ran = visits[0].ran
    assert ran is not None
    assert ((ran.accelerated, ran.operators, ran.partitions), ran.left) == (accelerated, left)
    assert visits[0].load_ns == 855_000
    assert ("partly-accelerated" in {one.code for one in warnings}) == (ran.accelerated < ran.operators)
    assert not list((tmp_path / "it's a phone" / "models").iterdir())


def test_benchmark_model_with_a_delegate_that_takes_nothing(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    profile = phone_profile.model_copy(update={"accelerators": tuple(Accelerator), "npu": NPU})
    with open_device(profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        setting = device.setting(engine_named(profile, None, Accelerator.NPU), Precision.INT8, 1)
        assert str(setting.engine) == (
            "litert on npu (/vendor/lib/it.so backend=htp mode=nothing) through benchmark_model"
        )
        with pytest.raises(DeviceError, match="Nothing ran on the npu of phone"):
            measure(device, setting, models(2000), store, policy=QUICK)


def test_perf_test_tells_what_ran_on_an_accelerator(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    """From its verbose lines."""
    gpu = AcceleratorSection(provider="CUDA")
    profile = phone_profile.model_copy(update={"accelerators": tuple(Accelerator), "gpu": gpu})
    with open_device(profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        engine = engine_named(profile, EngineName.ONNXRUNTIME, Accelerator.GPU)
        setting = device.setting(engine, Precision.FLOAT32, 1)
        measure(device, setting, models(3000), store, policy=QUICK)
        (visits,) = store.visits(setting).values()
    ran = visits[0].ran
    assert ran is not None
    assert (ran.accelerated, ran.operators, ran.left) == (2, 3, ("LRN",))
    assert visits[0].load_ns == 10_000_000


def test_the_link_is_cut_in_a_campaign(
    phone_profile: DeviceProfile, make_phone: Callable[..., AdbDaemon], tmp_path: Path
) -> None:
    """A cut costs time, not measurements."""
    phone = make_phone()
    profile = phone_profile.model_copy(update={"address": phone.serial})
    phone.cut_after = 40_000
    with open_device(profile) as device:
        setting = device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        assert phone.cut_after, "not before the campaign"
        found = medians(device, setting, models(30_000), tmp_path)
        assert not phone.cut_after
    assert found == pytest.approx({"30000": 30.0}, rel=0.02)


def test_a_board_without_python(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    """Not only phones: over any transport the shell and the program are enough."""
    changes = {"transport": "local", "address": None, "workdir": str(tmp_path / "board")}
    with open_device(phone_profile.model_copy(update=changes)) as device:
        assert (device.facts.python, set(device.facts.runtimes)) == (None, {"benchmark_model", "onnxruntime_perf_test"})
        setting = device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        found = medians(device, setting, models(4000), tmp_path)
    assert found == pytest.approx({"4000": 4.0}, rel=0.02)


KILLED = """
import sys
from pathlib import Path
from devices.test_native import QUICK, models
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.device import open_device
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.engines.benchmark_model import BENCHMARK_MODEL
from edgewidth.records.measurement import Precision
with open_device(DeviceProfile.model_validate_json(sys.argv[1])) as device:
    with MeasurementStore(Path(sys.argv[2]) / "m.sqlite") as store:
        setting = device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        measure(device, setting, models(2000, 4000, 6000), store, policy=QUICK)
"""


def test_killed_in_a_campaign(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    """What was measured before a kill stays and is not measured again, and nothing is left behind."""
    words = [sys.executable, "-c", KILLED, phone_profile.model_dump_json(), str(tmp_path)]
    path = os.pathsep.join(str(folder) for folder in (Path(__file__).parents[1], Path(__file__).parent))
    program = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": path})
    deadline, lines = time.monotonic() + 60, 0
    while lines < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
        outputs = list((tmp_path / "cache").rglob("out.jsonl"))
        lines = sum(path.read_bytes().count(b'"t": "visit"') for path in outputs)
    program.kill()
    program.wait(10)
    assert 2 <= lines < 6
    with open_device(phone_profile) as device:
        setting = device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        found = medians(device, setting, models(2000, 4000, 6000), tmp_path)
    assert found == pytest.approx({"2000": 2.0, "4000": 4.0, "6000": 6.0}, rel=0.02)
    assert not list((tmp_path / "cache" / "native" / "phone").iterdir())


def test_benchmark_model_is_told_shapes_zeros_and_a_signature() -> None:
    """In the words of its own documentation; what it has no words for is refused."""
    image = {"name": "image", "shape": [1, 8, 8, 3], "dtype": "float32", "values": "random", "opened": True}
    ids = {"name": "ids", "shape": [1, 16], "dtype": "int32", "values": "zeros", "opened": False}
    assert input_words([image | {"opened": False}]) == []
    assert input_words([image, ids]) == [
        "--input_layer=image,ids",
        "--input_layer_shape=1,8,8,3:1,16",
        "--input_layer_value_range=ids,0,0",
    ]
    entry = {"name": "infer", "graph": 1, "tensors": [0], "is_signature": True}
    assert entry_words(None) == []
    assert entry_words(entry) == ["--signature_to_run_for=infer"]
    with pytest.raises(VisitError, match="infer is no signature"):
        entry_words(entry | {"is_signature": False})
    with pytest.raises(VisitError, match="cannot be given values"):
        input_words([image | {"values": "given"}])


def test_affinity_and_threads_reach_the_program(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    put_program(tmp_path, "taskset", f'echo "$@" >>"{tmp_path}/asked"; shift; exec "$@"')
    profile = phone_profile.model_copy(update={"affinity": (4, 5, 7)})
    with open_device(profile) as device:
        program = BENCHMARK_MODEL.program(device.transport, profile, BENCHMARK_MODEL.engine, 2)
        device.transport.put({"m.tflite": b"x" * 500})
        told = program.invoke("m.tflite", 7, timeout_s=30)
    assert (len(told.runs_ns), len(told.first_ns)) == (9, 9)
    assert told.own_s > 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 3
    assert all(line.startswith("b0 ") and "--num_threads=2" in line for line in asked)


def test_a_model_that_does_not_load(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    """The program's own words reach the user."""
    with open_device(phone_profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        setting = device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        broken = Model("broken", lambda: b"not a model")
        with pytest.raises(DeviceError, match=r"could not run broken.*Failed to load model"):
            measure(device, setting, [broken], store, policy=QUICK)


def test_a_missing_program_says_where_it_comes_from(phone_profile: DeviceProfile, tmp_path: Path) -> None:
    profile = phone_profile.model_copy(update={"benchmark_model": "/no/benchmark_model"})
    with open_device(profile) as device:
        with pytest.raises(DeviceError, match=r"^benchmark_model is not installed on phone") as caught:
            device.setting(BENCHMARK_MODEL.engine, Precision.INT8, 1)
        assert "https://ai.google.dev" in (caught.value.remedy or "")
        assert "`benchmark_model=push:" in (caught.value.remedy or "")
    profile = phone_profile.model_copy(update={"benchmark_model": f"push:{tmp_path}/nothing"})
    with (
        pytest.raises(ProfileError, match="nothing, to be pushed to the device, could not be read"),
        open_device(profile),
    ):
        pass


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 1", "ended with 1"),
        ("echo garbage", "told 0 results"),
        ("echo count=3 min=1", "printed no max"),
        ("kill -9 $$", "ended with 137"),
        ("yes", "printed more than|did not answer"),
    ],
)
def test_a_program_that_misbehaves(phone_profile: DeviceProfile, tmp_path: Path, script: str, says: str) -> None:
    """One message, in time."""
    put_program(tmp_path, "bad", script)
    profile = phone_profile.model_copy(update={"benchmark_model": str(tmp_path / "bin" / "bad")})
    with open_device(profile) as device:
        program = BENCHMARK_MODEL.program(device.transport, profile, BENCHMARK_MODEL.engine, 1)
        with pytest.raises((VisitError, SurroundingsError), match=says):
            program.invoke("m.tflite", 3, timeout_s=10)
