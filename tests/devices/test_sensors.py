"""What GPUs, NPUs and power sensors say: trees of ``/sys`` made as drivers document them, read in both ways."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import pytest

from edgewidth.devices.on_device import sensors
from edgewidth.devices.reach.facts import read_idle
from edgewidth.devices.reach.local import LocalTransport
from edgewidth.devices.reach.shell_facts import shell_idle, shell_state
from edgewidth.records.measurement import Covers, DeviceState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UNREADABLE = object()
"""The content of what is there and cannot be read, not even by root: a folder in the place of a file."""

JETSON = {
    "devfreq/17000000.gpu/cur_freq": "918000000",
    "devfreq/17000000.gpu/device/load": "423",
    "devfreq/15880000.nvdla0/cur_freq": "614400000",
    "devfreq/soc:emc/cur_freq": "3199000000",
    "thermal/thermal_zone0/type": "cpu-thermal",
    "thermal/thermal_zone0/temp": "51000",
    "thermal/thermal_zone1/type": "gpu-thermal",
    "thermal/thermal_zone1/temp": "47812",
    "hwmon/hwmon3/name": "ina3221",
    "hwmon/hwmon3/in1_label": "VDD_IN",
    "hwmon/hwmon3/in1_input": "5000",
    "hwmon/hwmon3/curr1_input": "1240",
    "hwmon/hwmon3/in2_label": "VDD_CPU_GPU_CV",
    "hwmon/hwmon3/in2_input": "4992",
    "hwmon/hwmon3/curr2_input": "500",
    "hwmon/hwmon3/in3_label": "VDD_SOC",
    "hwmon/hwmon3/in3_input": "4992",
    "hwmon/hwmon3/curr3_input": UNREADABLE,
    "hwmon/hwmon3/in4_input": "3",
    "hwmon/hwmon3/curr4_input": "1740",
    "hwmon/hwmon4/name": "pwmfan",
    "hwmon/hwmon5/name": "tps53679",
    "hwmon/hwmon5/in1_input": "12000",
    "hwmon/hwmon5/curr1_input": "900",
}
QUALCOMM = {
    "kgsl/kgsl-3d0/gpuclk": "587000000",
    "kgsl/kgsl-3d0/gpu_busy_percentage": "37 %",
    "kgsl/kgsl-3d0/temp": "44100",
    "kgsl/kgsl-3d0/thermal_pwrlevel": "2",
    "devfreq/soc:qcom,gpubw/cur_freq": "7980",
    "devfreq/3d00000.qcom,kgsl-3d0/cur_freq": "305000000",
    "thermal/thermal_zone7/type": "gpuss-0-usr",
    "thermal/thermal_zone7/temp": "43300",
    "thermal/thermal_zone8/type": "npu-usr",
    "thermal/thermal_zone8/temp": "39900",
    "thermal/thermal_zone9/type": "input-skin",
    "thermal/thermal_zone9/temp": "90000",
    "power_supply/battery/type": "Battery",
    "power_supply/battery/status": "Discharging",
    "power_supply/battery/current_now": "-512000",
    "power_supply/battery/voltage_now": "4100000",
    "power_supply/usb/type": "USB",
    "power_supply/usb/current_now": "900000",
}
PIXEL = {
    "misc/mali0/device/cur_freq": "701000",
    "misc/mali0/device/utilization": "12",
    "power_supply/battery/type": "Battery",
    "power_supply/battery/status": "Charging",
    "power_supply/battery/current_now": "1200000",
    "power_supply/battery/voltage_now": "4100000",
}
EXYNOS = {
    "misc/mali0/device/clock": "572",
    "power_supply/battery/type": "Battery",
    "power_supply/battery/status": "Discharging",
    "power_supply/battery/current_now": "-350",
    "power_supply/battery/voltage_now": "3900",
}
ROCKCHIP = {
    "devfreq/fb000000.gpu/cur_freq": "300000000",
    "devfreq/fb000000.gpu/load": "61@300000000Hz",
    "devfreq/fdab0000.npu/cur_freq": "1000000000",
    "devfreq/dmc/cur_freq": "2112000000",
}
LAPTOP = {
    "powercap/intel-rapl:0/name": "package-0",
    "powercap/intel-rapl:0/energy_uj": "262143328850",
    "powercap/intel-rapl:0/max_energy_range_uj": "262143328850",
    "powercap/intel-rapl:0:0/name": "core",
    "powercap/intel-rapl:0:0/energy_uj": "99",
    "powercap/intel-rapl:0:0/max_energy_range_uj": "262143328850",
    "powercap/intel-rapl:1/name": "psys",
    "powercap/intel-rapl:1/energy_uj": "7",
    "hwmon/hwmon0/name": "amdgpu",
    "hwmon/hwmon0/power1_average": "9123000",
    "hwmon/hwmon1/name": "ina226",
    "hwmon/hwmon1/power1_input": "15000000",
    "hwmon/hwmon1/in1_input": "12000",
    "hwmon/hwmon1/curr1_input": "1250",
    "hwmon/hwmon2/name": "xe",
    "hwmon/hwmon2/energy1_label": "card",
    "hwmon/hwmon2/energy1_input": "5500123",
    "power_supply/BAT0/type": "Battery",
    "power_supply/BAT0/status": "Discharging",
    "power_supply/BAT0/power_now": "11500000",
    "power_supply/mouse/type": "Battery",
    "power_supply/mouse/scope": "Device",
    "power_supply/mouse/status": "Discharging",
    "power_supply/mouse/power_now": "1000",
}
CLOSED = {"powercap/intel-rapl:0/name": "package-0", "powercap/intel-rapl:0/energy_uj": UNREADABLE}
NONSENSE = {
    "devfreq/1.gpu/cur_freq": "-5",
    "devfreq/1.gpu/load": "4000@1Hz",
    "kgsl/kgsl-3d0/gpuclk": "nan",
    "kgsl/kgsl-3d0/gpu_busy_percentage": "busy",
    "kgsl/kgsl-3d0/temp": "-273000",
    "kgsl/kgsl-3d0/thermal_pwrlevel": "\xff",
    "misc/mali0/device/clock": "",
    "powercap/intel-rapl:0/name": "package-0",
    "powercap/intel-rapl:0/energy_uj": "-1",
    "hwmon/hwmon0/name": "ina219",
    "hwmon/hwmon0/power1_input": "1e99",
    "hwmon/hwmon1/power1_input": "inf",
    "power_supply/battery/type": "Battery",
    "power_supply/battery/status": "Discharging",
    "power_supply/battery/current_now": "0",
}


def told(**fields: Any) -> dict[str, Any]:
    nothing = {"frequency_mhz": None, "temperature_c": None, "load_percent": None, "power_w": None, "held_back": ()}
    return nothing | fields


@pytest.fixture
def link(tmp_path: Path) -> Iterator[LocalTransport]:
    transport = LocalTransport(tmp_path / "work", "python3")
    yield transport
    transport.close()


def make(root: Path, tree: Mapping[str, Any]) -> str:
    """The tree below ``/sys/class``, and the path that stands for ``/``."""
    for name, content in tree.items():
        path = root / "sys/class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is UNREADABLE:
            path.mkdir()
        else:
            path.write_text(f"{content}\n", encoding="latin-1")
    return str(root)


def python_state(root: str) -> DeviceState:
    return DeviceState.model_validate({**sensors.read_accelerators(root), **sensors.read_rails(root)})


def timeless(state: DeviceState) -> list[dict[str, Any]]:
    return [rail.model_dump(exclude={"at_s"}) for rail in state.rails]


def both(tmp_path: Path, link: LocalTransport, tree: Mapping[str, Any]) -> DeviceState:
    """What Python finds on a device with this tree; a shell finds the same, before runs and after them."""
    root = make(tmp_path / "root", tree)
    found = python_state(root)
    for ends in (False, True):
        shell = shell_state(link, ends=ends, root=root)
        assert (shell.gpu, shell.npu, shell.rails_unknown) == (found.gpu, found.npu, found.rails_unknown)
        assert sorted(timeless(shell), key=str) == sorted(timeless(found), key=str)
    return found


ACCELERATORS = [
    (
        JETSON,
        told(frequency_mhz=918, temperature_c=47.812, load_percent=pytest.approx(42.3)),
        told(frequency_mhz=pytest.approx(614.4)),
    ),
    (
        QUALCOMM,
        told(frequency_mhz=587, temperature_c=44.1, load_percent=37, held_back=("heat",)),
        told(temperature_c=39.9),
    ),
    (PIXEL, told(frequency_mhz=701, load_percent=12), None),
    (EXYNOS, told(frequency_mhz=572), None),
    (ROCKCHIP, told(frequency_mhz=300, load_percent=61), told(frequency_mhz=1000)),
    (LAPTOP, None, None),
    (NONSENSE, None, None),
    ({}, None, None),
]


@pytest.mark.parametrize(("tree", "gpu", "npu"), ACCELERATORS)
def test_accelerators(
    tmp_path: Path,
    link: LocalTransport,
    tree: Mapping[str, Any],
    gpu: dict[str, Any] | None,
    npu: dict[str, Any] | None,
) -> None:
    """Clock, temperature and load in our units; a bandwidth, a memory's clock or a strange zone is not taken."""
    state = both(tmp_path, link, tree)
    assert (state.gpu and state.gpu.model_dump()) == gpu
    assert (state.npu and state.npu.model_dump()) == npu


RAILS = [
    (JETSON, [("ina3221 VDD_IN", Covers.BOARD, 6.2), ("ina3221 VDD_CPU_GPU_CV", Covers.PROCESSOR, 2.496)], None),
    (QUALCOMM, [("battery battery", Covers.BOARD, 2.0992)], None),
    (EXYNOS, [("battery battery", Covers.BOARD, 1.365)], None),  # in thousandths, not millionths
    (PIXEL, [], "the battery does not discharge (Charging)"),
    (CLOSED, [], "only root may read the processor's energy counter"),
    (
        LAPTOP,
        [
            ("RAPL package-0", Covers.PROCESSOR, 262143328850),
            ("RAPL package-0 core", Covers.PART, 99),
            ("RAPL psys", Covers.BOARD, 7),
            ("amdgpu power1", Covers.GPU, 9.123),
            ("ina226 power1", Covers.PART, 15.0),
            ("xe card", Covers.GPU, 5500123),
            ("battery BAT0", Covers.BOARD, 11.5),
        ],
        None,
    ),
    (NONSENSE, [], "only root may read the processor's energy counter; the battery does not tell its current"),
    ({}, [], None),
]


@pytest.mark.parametrize(("tree", "rails", "unknown"), RAILS)
def test_rails(
    tmp_path: Path,
    link: LocalTransport,
    tree: Mapping[str, Any],
    rails: list[tuple[str, Covers, float]],
    unknown: str | None,
) -> None:
    """Counters as they stand, powers in watts, and what hangs on each; why there are none."""
    state = both(tmp_path, link, tree)
    found = {
        (rail.source, rail.covers): rail.power_w if rail.energy_uj is None else rail.energy_uj for rail in state.rails
    }
    assert found == {(source, covers): pytest.approx(value) for source, covers, value in rails}
    assert state.rails_unknown == unknown
    assert [rail.wraps_uj for rail in state.rails if rail.source == "RAPL package-0"] in ([], [262143328850])


def test_a_jetson_of_before(tmp_path: Path, link: LocalTransport) -> None:
    """Before JetPack 5 the INA3221 is elsewhere and tells milliwatts."""
    folder = tmp_path / "root/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    folder.mkdir(parents=True)
    (folder / "rail_name_0").write_text("POM_5V_IN\n")
    (folder / "in_power0_input").write_text("2875\n")
    state = both(tmp_path, link, {})
    assert timeless(state) == [
        {"source": "ina3221 POM_5V_IN", "covers": "board", "energy_uj": None, "wraps_uj": None, "power_w": 2.875}
    ]


def test_two_sensors_of_one_name(tmp_path: Path) -> None:
    tree = {
        f"hwmon/hwmon{n}/{name}": text for n in (1, 2) for name, text in (("name", "x"), ("power1_input", "1000000"))
    }
    state = python_state(make(tmp_path / "root", tree))
    assert len({rail.source for rail in state.rails}) == 2


BUSY = "NVIDIA H100 80GB HBM3, 1980, 45, 87, 412.61, 0x0000000000000004\n"
BUSY_TOLD = {"frequency_mhz": 1980, "temperature_c": 45, "load_percent": 87, "power_w": 412.61}
IDLE = "NVIDIA H100 80GB HBM3, 345, 30, 0, 71.20, 0x0000000000000001\n"
ORIN = "Orin (nvgpu), [N/A], [N/A], [N/A], [N/A], [N/A]\n"
OLD = "Tesla K40c, 745, 61, 99, 130.5\n"


@pytest.mark.parametrize(
    ("prints", "gpu"),
    [
        (IDLE + BUSY, told(**BUSY_TOLD, held_back=("power cap",))),
        (BUSY.replace("04\n", "60\n"), told(**BUSY_TOLD, held_back=("heat",))),
        (OLD, told(frequency_mhz=745, temperature_c=61, load_percent=99, power_w=130.5)),
        (ORIN, told(frequency_mhz=918)),
        ("Failed to initialize NVML: Driver/library version mismatch\n", told(frequency_mhz=918)),
        ("a, -1, 900, 500, nan, 0xzz\n", told(frequency_mhz=918)),
    ],
)
def test_nvidia(
    tmp_path: Path, link: LocalTransport, monkeypatch: pytest.MonkeyPatch, prints: str, gpu: object
) -> None:
    """The busiest card; what its program does not tell is what the files say. Both ways of asking find the same."""
    fresh(monkeypatch, tmp_path)
    put_program(tmp_path, "nvidia-smi", f"cat <<'END'\n{prints}END")
    root = make(tmp_path / "root", {"devfreq/17000000.gpu/cur_freq": "918000000"})
    state = DeviceState.model_validate(sensors.read_accelerators(root, programs=True))
    assert state.gpu is not None
    assert state.gpu.model_dump() == gpu
    assert shell_state(link, programs=True, root=root).gpu == state.gpu
    assert python_state(root).gpu == shell_state(link, root=root).gpu  # nobody asks the program unless told to


def test_nvidia_without_reasons(tmp_path: Path, link: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does not know the field of the reasons is asked for the others."""
    fresh(monkeypatch, tmp_path)
    refuses = 'echo "Field \\"clocks_throttle_reasons.active\\" is not a valid field to query."; exit 2'
    put_program(tmp_path, "nvidia-smi", f"case \"$*\" in *reasons*) {refuses};; esac; echo '{OLD.strip()}'")
    state = DeviceState.model_validate(sensors.read_accelerators(str(tmp_path), programs=True))
    assert state.gpu is not None
    assert state.gpu.frequency_mhz == 745
    assert shell_state(link, programs=True, root=str(tmp_path)).gpu == state.gpu


def test_programs_that_hang_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without an answer is waited for once, and never asked again."""
    fresh(monkeypatch, tmp_path)
    monkeypatch.setattr(sensors, "PROGRAM_LIMIT_S", 0.2)
    put_program(tmp_path, "vcgencmd", "exec sleep 60")
    for limit_s in (2.0, 0.1):
        begin = time.monotonic()
        assert sensors.read_accelerators(str(tmp_path), programs=True)["gpu"] is None
        assert time.monotonic() - begin < limit_s


def test_the_clock_of_a_raspberry_pi(tmp_path: Path, link: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch, tmp_path)
    put_program(tmp_path, "vcgencmd", '[ "$*" = "measure_clock v3d" ] && echo "frequency(0)=910006528"')
    state = DeviceState.model_validate(sensors.read_accelerators(str(tmp_path), programs=True))
    assert state.gpu is not None
    assert state.gpu.frequency_mhz == pytest.approx(910.006528)
    assert shell_state(link, programs=True, root=str(tmp_path)).gpu == state.gpu


def test_a_time_without_work(tmp_path: Path, link: LocalTransport) -> None:
    """Both ways tell the sensors twice, as far apart as was asked."""
    root = make(tmp_path / "root", LAPTOP)
    for first, last in (shell_idle(link, 1, root=root), read_idle(link, "python3", 0.3)):
        assert [rail.source for rail in first.rails] == [rail.source for rail in last.rails]
        assert all(0.29 <= b.at_s - a.at_s < 3 for a, b in zip(first.rails, last.rails, strict=True))
    assert len(shell_idle(link, 1, root=root)[1].rails) == 7


def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No programs but those of the test, and nothing is known of any."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    for name in ("_nvidia_smi", "_vcgencmd"):
        monkeypatch.setattr(sensors, name, functools.cache(getattr(sensors, name).__wrapped__))


def put_program(tmp_path: Path, name: str, script: str) -> None:
    path = tmp_path / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
