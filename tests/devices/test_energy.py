"""The energy of an inference, held against devices whose power is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from small_onnx import small_onnx

from edgewidth.devices.check import ASK_FOR_BATTERY, ASK_FOR_RAPL, _energy
from edgewidth.devices.device import Device
from edgewidth.devices.fake.transport import FakeNoise, FakeTransport
from edgewidth.devices.measure import energy
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.energy import estimate_energy, measure_energy
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.measure.warnings import find_warnings
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.errors import TransientDeviceError
from edgewidth.records.measurement import (
    Accelerator,
    AcceleratorState,
    Clock,
    Covers,
    DeviceState,
    EnergyQuality,
    Engine,
    Precision,
    Rail,
    Runtime,
    Setting,
    Visit,
)

if TYPE_CHECKING:
    from pathlib import Path

CPU, GPU = Accelerator.CPU, Accelerator.GPU
RUN_NS, WARM_UP, RUNS = 5_000_000, 20, 80


def rail(at_s: float, uj: float | None = None, w: float | None = None, **changes: object) -> Rail:
    fields = {"source": "s", "covers": Covers.BOARD, "at_s": at_s, "power_w": w}
    return Rail.model_validate(fields | {"energy_uj": None if uj is None else round(uj)} | changes)


def visit(number: int, before: DeviceState, after: DeviceState) -> Visit:
    """100 runs of 5 ms, 20 of them as warm-up: half a second."""
    return Visit(
        model="m",
        round=number,
        started_s=float(number),
        warmup_ns=(RUN_NS,) * WARM_UP,
        runs_ns=(RUN_NS,) * RUNS,
        before=before,
        after=after,
    )


def visits(*pairs: tuple[Rail, Rail]) -> list[Visit]:
    return [
        visit(number, DeviceState(rails=(before,)), DeviceState(rails=(after,)))
        for number, (before, after) in enumerate(pairs)
    ]


def steady(w: float, count: int = 4, elapsed_s: float = 0.51) -> list[Visit]:
    """A counter of a device that takes ``w`` watts all the time."""
    begins = [float(number) for number in range(count)]
    return visits(*[(rail(at, 1e6 * w * at), rail(at + elapsed_s, 1e6 * w * (at + elapsed_s))) for at in begins])


def test_a_counter() -> None:
    """2 W for 5 ms are 10 mJ; half of it is left above an idle watt, and nothing above what is more than that."""
    [found] = estimate_energy(steady(2), CPU)
    assert (found.quality, found.visits, found.idle_w, found.above_idle_mj) == (EnergyQuality.GOOD, 4, None, None)
    assert [found.value_mj, found.low_mj, found.high_mj, found.power_w] == pytest.approx([10, 10, 10, 2], rel=1e-4)
    assert "idle power is not known" in str(found)
    for idle_w, above_mj in ((1, 5), (3, 0)):
        idle = DeviceState(rails=(rail(7, 0),)), DeviceState(rails=(rail(9, 2e6 * idle_w),))
        [found] = estimate_energy(steady(2), CPU, idle)
        assert [found.idle_w, found.above_idle_mj] == pytest.approx([idle_w, above_mj], abs=1e-4)


def test_the_interval_is_students() -> None:
    """Three visits at 1, 2 and 3 W: 5, 10 and 15 mJ, whose mean is known to 4.303 · 5 / √3."""
    some = [steady(w, 1)[0] for w in (1, 2, 3)]
    [found] = estimate_energy(some, CPU)
    expected = [10, 0, 10 + 4.3027 * 5 / 3**0.5]
    assert [found.value_mj, found.low_mj, found.high_mj] == pytest.approx(expected, rel=1e-4)


def test_a_counter_that_wraps() -> None:
    """RAPL's begins at 0 again above its range; one that began anew without a word says nothing of that visit."""
    near = 262143328850 - 400_000
    wrapped = visits((rail(0, near, wraps_uj=262143328850), rail(0.5, 600_000, wraps_uj=262143328850)))
    [found] = estimate_energy(wrapped, CPU)
    assert found.power_w == pytest.approx(2)
    assert estimate_energy(visits((rail(0, near), rail(0.5, 600_000))), CPU) == ()
    assert (
        estimate_energy(visits((rail(0, near), rail(0.5, 600_000)), (rail(1, 0), rail(1.5, 1e6))), CPU)[0].visits == 1
    )


@pytest.mark.parametrize(
    ("some", "quality"),
    [
        (steady(2, 2), EnergyQuality.FAIR),  # few visits
        (steady(2, elapsed_s=0.9), EnergyQuality.FAIR),  # the starts of a native program are in it
        (visits(*[(rail(at, w=9), rail(at + 0.5, w=2)) for at in range(4)]), EnergyQuality.POOR),
    ],
)
def test_how_good_it_is(some: list[Visit], quality: EnergyQuality) -> None:
    """The energy is the same: that of 2 W, whatever the device took before the runs."""
    [found] = estimate_energy(some, CPU)
    assert found.quality is quality
    assert found.value_mj == pytest.approx(10, rel=1e-4)


def test_what_tells_nothing() -> None:
    """A counter that stands still, one whose time does not run, one that came late, and no sensor at all."""
    late = visit(0, DeviceState(), DeviceState(rails=(rail(1, 5),)))
    assert estimate_energy([late, *visits((rail(0, 7), rail(1, 7))), *visits((rail(1, 0), rail(1, 9)))], CPU) == ()
    assert estimate_energy([], CPU) == ()


def test_which_is_first() -> None:
    """Good before poor, then the whole device before its parts; never what the engine does not compute on."""
    before = DeviceState(rails=(rail(0, 0, source="RAPL", covers=Covers.PROCESSOR), rail(0, 0, source="psys")))
    rails = [
        rail(0.5, w=3, source="battery"),
        rail(0.5, 1e6, source="RAPL", covers=Covers.PROCESSOR),
        rail(0.5, 2e6, source="psys"),
        rail(0.5, w=1, source="VDD_GPU", covers=Covers.GPU),
        rail(0.5, w=1, source="VDD_NPU", covers=Covers.NPU),
    ]
    after = DeviceState(rails=tuple(rails), gpu=AcceleratorState(power_w=70))
    some = [visit(number, before, after) for number in range(3)]
    assert [one.source for one in estimate_energy(some, CPU)] == ["psys", "RAPL", "battery"]
    on_gpu = [one.source for one in estimate_energy(some, GPU)]
    assert on_gpu == ["psys", "RAPL", "battery", "VDD_GPU", "GPU driver"]


def test_a_whole_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the device's clock to the estimate: 3 W at work of which 1 W is idle, held against the latency."""

    def state(now_s: float) -> DeviceState:
        return DeviceState(rails=(rail(now_s, 3e6 * now_s),))

    asked = []

    def read_idle(*words: object) -> tuple[DeviceState, DeviceState]:
        asked.append(words)
        return DeviceState(rails=(rail(0, 0),)), DeviceState(rails=(rail(2, 2e6),))

    monkeypatch.setattr(energy, "read_idle", read_idle)
    transport = FakeTransport(tmp_path / "device", noise=FakeNoise(outliers=0), state=state)
    device = Device(DeviceProfile(name="fake", transport="fake"), transport, transport.facts())
    setting = device.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(device, setting, [Model("m", lambda: small_onnx((8,)))], store, policy=Policy(rounds=6, visit_ms=20))
        some = store.visits(setting)["m"]
    run_ms = sum(sum(one.runs_ns) / len(one.runs_ns) for one in some) / len(some) / 1e6
    [found] = measure_energy(device, setting, some)
    assert (found.quality, len(asked)) == (EnergyQuality.GOOD, 1)
    assert found.value_mj == pytest.approx(3 * run_ms, rel=1e-3)
    assert found.above_idle_mj == pytest.approx(2 * run_ms, rel=1e-3)

    silent = [one.model_copy(update={"before": DeviceState(), "after": DeviceState()}) for one in some]
    counting = setting.model_copy(update={"clock": Clock.ICOUNT})
    assert (measure_energy(device, setting, silent), measure_energy(device, counting, some), len(asked)) == ((), (), 1)

    def cut(*_: object) -> tuple[DeviceState, DeviceState]:
        raise TransientDeviceError("The link is gone.")

    monkeypatch.setattr(energy, "read_idle", cut)
    [found] = measure_energy(device, setting, some)
    assert found.idle_w is None
    assert found.value_mj == pytest.approx(3 * run_ms, rel=1e-3)
    transport.close()


def clocks(*mhz: float | None, held_back: tuple[str, ...] = ()) -> list[Visit]:
    states = [AcceleratorState(frequency_mhz=one, temperature_c=50, held_back=held_back) for one in mhz]
    return [visit(number, DeviceState(gpu=states[0]), DeviceState(gpu=one)) for number, one in enumerate(states)]


@pytest.mark.parametrize(
    ("some", "accelerator", "says"),
    [
        (clocks(900, 900, 300), GPU, "to 300 from 900 MHz in 1 of 3 visits"),
        (clocks(900, 880, 900), GPU, None),
        (clocks(900, 300, 300), CPU, None),
        (clocks(900, 900, held_back=("heat",)), GPU, "lowered (its driver says: heat)"),
        (clocks(None, None), GPU, None),
    ],
)
def test_an_accelerator_whose_clock_falls(some: list[Visit], accelerator: Accelerator, says: str | None) -> None:
    """Told where the model ran on it."""
    setting = Setting(
        device="a",
        hardware="b",
        engine=Engine(runtime=Runtime.LITERT, accelerator=accelerator),
        runtime_version="1",
        threads=1,
        precision=Precision.INT8,
    )
    found = [one.message for one in find_warnings({"m": some}, setting, Policy()) if one.code == "accelerator-slowed"]
    assert (found == []) if says is None else says in found[0]


def test_why_a_check_cannot_tell() -> None:
    """With what to do about it; a device without sensors is not asked for any."""
    unknown = {
        "only root may read the processor's energy counter": ASK_FOR_RAPL,
        "the battery does not discharge (Full)": ASK_FOR_BATTERY,
    }
    for reason, remedy in unknown.items():
        [item] = _energy((), DeviceState(rails_unknown=reason))
        assert (item.ok, item.remedy) == (True, remedy)
        assert reason in item.finding
    assert _energy((), DeviceState()) == []
    [item] = _energy(estimate_energy(steady(2), CPU), DeviceState())
    assert item.finding.startswith("10 mJ per inference (good: counter of s, the whole board")
