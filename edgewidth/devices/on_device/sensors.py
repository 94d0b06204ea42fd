"""How a machine's GPU and NPU are doing, and what its power sensors say. Standard library only, Python 3.9.

``python3 - SECONDS``, with this file as standard input, prints what the power sensors say, and again so long after, as
JSON: nothing of ours works meanwhile.

What is read and what it means are apart: a device without Python only reads, and the host finds the meaning by the same
functions. ``Files`` are the first lines of files by their absolute paths; None: the file is there and cannot be read.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Json = dict[str, Any]
    Files = Mapping[str, str | None]

ACCELERATOR_FILES = (
    "/sys/class/devfreq/*/cur_freq",
    "/sys/class/devfreq/*/load",
    "/sys/class/devfreq/*/device/load",
    "/sys/class/kgsl/kgsl-3d0/gpuclk",
    "/sys/class/kgsl/kgsl-3d0/gpu_busy_percentage",
    "/sys/class/kgsl/kgsl-3d0/temp",
    "/sys/class/kgsl/kgsl-3d0/thermal_pwrlevel",
    "/sys/class/misc/mali0/device/cur_freq",
    "/sys/class/misc/mali0/device/clock",
    "/sys/class/misc/mali0/device/devfreq/*/cur_freq",
    "/sys/class/misc/mali0/device/utilization",
    "/sys/class/misc/mali0/device/utilisation",
    "/sys/devices/gpu.0/load",
    "/sys/devices/platform/gpu.0/load",
)
"""Files about GPUs and NPUs, as a shell's patterns. Thermal zones are told apart by their names and come on top."""
RAIL_FILES = (
    "/sys/class/powercap/intel-rapl:*/name",
    "/sys/class/powercap/intel-rapl:*/max_energy_range_uj",
    "/sys/class/powercap/intel-rapl:*/energy_uj",
    "/sys/class/hwmon/hwmon*/name",
    "/sys/class/hwmon/hwmon*/energy*_label",
    "/sys/class/hwmon/hwmon*/energy*_input",
    "/sys/class/hwmon/hwmon*/power*_label",
    "/sys/class/hwmon/hwmon*/power*_input",
    "/sys/class/hwmon/hwmon*/power*_average",
    "/sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*",
    "/sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power*_input",
    "/sys/class/power_supply/*/type",
    "/sys/class/power_supply/*/scope",
    "/sys/class/power_supply/*/status",
    "/sys/class/power_supply/*/power_now",
    "/sys/class/power_supply/*/current_now",
    "/sys/class/power_supply/*/voltage_now",
)
"""Files about energy and power."""
INA_FILES = ("in[1-3]_label", "in[1-3]_input", "curr[1-3]_input")
"""What is read beside these in the folder of a ``hwmon`` sensor called ``ina…``. There a voltage and a current of one
number belong together, up to 3; above, and in other sensors, they do not."""
KINDS = ("gpu", "npu")
"""What is told apart, as an engine's accelerator is."""
ZONES = {"gpu": re.compile("gpu", re.IGNORECASE), "npu": re.compile("(?<!i)npu|nsp", re.IGNORECASE)}
"""What the names of the thermal zones of a kind of processor have in them."""
NVIDIA_FIELDS = "name,clocks.sm,temperature.gpu,utilization.gpu,power.draw"
"""What ``nvidia-smi`` is asked for; by every version, ``NVIDIA_REASON`` only by most."""
NVIDIA_REASON = ",clocks_throttle_reasons.active"
PROGRAM_LIMIT_S = 2.0
"""A program that needs longer for its first answer is not asked again."""
RAPL_CLOSED = "only root may read the processor's energy counter"
BATTERY_CHARGED = "the battery does not discharge"

_DEVFREQ = "/sys/class/devfreq/{}/{}"
_GPU, _NPU = r"[^/]*(?:gpu|mali|kgsl-3d\d|\.g[apv]\d+b)", r"[^/]*(?:npu\d?|nvdla\d?)"
_MALI = "/sys/class/misc/mali0/device/"
_CLOCKS = {
    "gpu": (
        "/sys/class/kgsl/kgsl-3d0/gpuclk",
        _DEVFREQ.format(_GPU, "cur_freq"),
        _MALI + r"(?:cur_freq|clock|devfreq/[^/]+/cur_freq)",
    ),
    "npu": (_DEVFREQ.format(_NPU, "cur_freq"),),
}
"""By kind of processor the paths of its clock, those first that are preferred."""
_LOADS = {
    "gpu": (
        ("/sys/class/kgsl/kgsl-3d0/gpu_busy_percentage", 1.0),
        (_DEVFREQ.format(_GPU, "device/load"), 0.1),  # Jetson says thousandths
        ("/sys/devices/(?:platform/)?gpu.0/load", 0.1),
        (_DEVFREQ.format(_GPU, "load"), 1.0),
        (_MALI + "utili[sz]ation", 1.0),
    ),
    "npu": ((_DEVFREQ.format(_NPU, "load"), 1.0),),
}
"""The same of its load, with what one of the file's units is in percent."""
_REASONS = ((0x4, "power cap"), (0x8, "slowed by hardware"), (0x60, "heat"), (0x80, "power brake"))
"""Bits of NVIDIA's reasons for a lower clock that are worth telling."""
_BOARD = re.compile(r"(?:^|_)(?:VDD|5V|VIN)_IN$|^VIN$|^psys$")
_GPU_DRIVERS = {"amdgpu", "i915", "xe", "nouveau"}


# Reading, on a device with Python.


@functools.cache
def _paths(patterns: Sequence[str], root: str) -> list[str]:
    return [str(path) for pattern in patterns for path in sorted(Path(root).glob(pattern.lstrip("/")))]


@functools.cache
def _accelerator_paths(root: str) -> list[str]:
    """Of the thermal zones only those of accelerators: a phone has a hundred, and some take long to be read."""
    wanted = list(_paths(ACCELERATOR_FILES, root))
    for path in _paths(("/sys/class/thermal/thermal_zone*/type",), root):
        if any(kind.search(_line(path) or "") for kind in ZONES.values()):
            wanted += [path, path[: -len("type")] + "temp"]
    return wanted


@functools.cache
def _rail_paths(root: str) -> list[str]:
    wanted = list(_paths(RAIL_FILES, root))
    for path in [path for path in wanted if re.search(r"/hwmon\d+/name$", path)]:
        if (_line(path) or "").startswith("ina"):
            folder = path[len(root.rstrip("/")) : -len("name")]
            wanted += _paths(tuple(folder + name for name in INA_FILES), root)
    return wanted


def _line(path: str) -> str | None:
    """The first line of a file; None: it cannot be read, or is empty."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - a third of the time that a Path takes
            return stream.read(200).decode(errors="replace").split("\n", 1)[0].strip() or None
    except OSError:
        return None


def _read(paths: Sequence[str], root: str) -> dict[str, str | None]:
    return {path[len(root.rstrip("/")) :]: _line(path) for path in paths}


def read_rails(root: str = "/") -> Json:
    """What the power sensors say right now: the fields ``rails`` and ``rails_unknown`` of ``DeviceState``.

    A few files: well under a millisecond, with sensors behind a slow bus a few.
    """
    return rails(_read(_rail_paths(root), root), time.monotonic())


def read_accelerators(root: str = "/", *, programs: bool = False) -> Json:
    """How the GPU and the NPU are doing: the fields ``gpu`` and ``npu`` of ``DeviceState``.

    ``programs``: the system's own are asked too, which takes a few to a few dozen milliseconds.
    """
    nvidia, v3d = (_answer(_nvidia_smi()), _answer(_vcgencmd())) if programs else ("", "")
    return accelerators(_read(_accelerator_paths(root), root), nvidia, v3d)


@functools.cache
def _nvidia_smi() -> tuple[str, ...]:
    """The words that ask NVIDIA's program; none where it is not there, fails, or takes too long."""
    program = shutil.which("nvidia-smi")
    for fields in (NVIDIA_FIELDS + NVIDIA_REASON, NVIDIA_FIELDS) if program else ():
        words = (str(program), f"--query-gpu={fields}", "--format=csv,noheader,nounits")
        if _answer(words):
            return words
    return ()


@functools.cache
def _vcgencmd() -> tuple[str, ...]:
    """The words that ask a Raspberry Pi for its GPU's clock; none where they are not understood."""
    words = (shutil.which("vcgencmd") or "", "measure_clock", "v3d")
    return words if words[0] and _answer(words) else ()


def _answer(words: Sequence[str]) -> str:
    """What a program prints; nothing where it fails or takes too long."""
    if not words:
        return ""
    try:
        done = subprocess.run(list(words), capture_output=True, timeout=PROGRAM_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


# What it means.


def accelerators(files: Files, nvidia: str, v3d: str) -> Json:
    """The fields ``gpu`` and ``npu`` of ``DeviceState``; None where nothing is known of one.

    ``nvidia`` is what ``nvidia-smi`` answers to ``NVIDIA_FIELDS``, ``v3d`` a Raspberry Pi's ``measure_clock v3d``.
    """
    told = {kind: _sysfs_state(kind, files) for kind in KINDS}
    clock = re.search(r"frequency\(\d+\)=(\d+)", v3d)
    if clock and told["gpu"]["frequency_mhz"] is None:
        told["gpu"]["frequency_mhz"] = _mhz(clock[1])
    busiest = max(_nvidia_states(nvidia), key=lambda state: state["load_percent"] or 0.0, default={})
    told["gpu"].update((name, value) for name, value in busiest.items() if value not in (None, []))
    return {kind: state if any(value for value in state.values()) else None for kind, state in told.items()}


def _sysfs_state(kind: str, files: Files) -> Json:
    zones = [
        files.get(path[: -len("type")] + "temp")
        for path, name in files.items()
        if re.search(r"/thermal_zone\d+/type$", path) and ZONES[kind].search(name or "")
    ]
    temperatures = [*zones, files.get("/sys/class/kgsl/kgsl-3d0/temp") if kind == "gpu" else None]
    limited = kind == "gpu" and (_number(files.get("/sys/class/kgsl/kgsl-3d0/thermal_pwrlevel"), 1, 100) or 0) > 0
    return {
        "frequency_mhz": _first(_most(files, path, _mhz) for path in _CLOCKS[kind]),
        "temperature_c": _greatest(_celsius(text) for text in temperatures),
        "load_percent": _first(_most(files, path, _percent_of(unit)) for path, unit in _LOADS[kind]),
        "power_w": None,
        "held_back": ["heat"] if limited else [],
    }


def _nvidia_states(text: str) -> list[Json]:
    """One for each line; what the GPU does not tell, it calls ``[N/A]`` or ``[Not Supported]``."""
    states = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 5:
            continue
        bits = int(cells[5], 16) if len(cells) > 5 and re.fullmatch("0x[0-9a-fA-F]{1,16}", cells[5]) else 0
        states.append(
            {
                "frequency_mhz": _number(cells[1], 1, 10_000),
                "temperature_c": _number(cells[2], 1, 150),
                "load_percent": _number(cells[3], 0, 100),
                "power_w": _number(cells[4], 0, 5_000),
                "held_back": [name for bit, name in _REASONS if bits & bit],
            }
        )
    return states


def rails(files: Files, at_s: float) -> Json:
    """The fields ``rails`` and ``rails_unknown`` of ``DeviceState``; ``at_s`` is when the files were read."""
    found: dict[str, Json] = {}
    unknown: list[str] = []
    for some, reasons in (_rapl(files), _hwmon(files), _old_jetson(files), _batteries(files)):
        for rail in some:
            twin = rail["source"] in found
            source = f"{rail['source']} {len(found)}" if twin else rail["source"]
            found[source] = dict(rail, source=source, at_s=at_s)
        unknown += reasons
    return {"rails": list(found.values()), "rails_unknown": "; ".join(unknown) or None}


def _rail(source: str, covers: str, *, uj: int | None = None, wraps: int | None = None, w: float | None = None) -> Json:
    return {"source": source, "covers": covers, "energy_uj": uj, "wraps_uj": wraps, "power_w": w}


def _rapl(files: Files) -> tuple[list[Json], list[str]]:
    """Intel's and AMD's counters of a processor's energy; many systems let only root read them."""
    zones = {
        path[: -len("/name")]: name for path, name in files.items() if re.search(r"/intel-rapl:[\d:]+/name$", path)
    }
    found, closed = [], False
    for folder, name in zones.items():
        energy = _count(files.get(f"{folder}/energy_uj"))
        if energy is None:
            closed = True
            continue
        outer = zones.get(folder.rpartition(":")[0])
        covers = "processor" if re.match(r"package-\d+$", name or "") else _covers(name or "")
        source = " ".join(part for part in ("RAPL", outer, name) if part)
        found.append(_rail(source, covers, uj=energy, wraps=_count(files.get(f"{folder}/max_energy_range_uj"))))
    return found, [RAPL_CLOSED] if closed and not found else []


def _hwmon(files: Files) -> tuple[list[Json], list[str]]:
    """Sensors that count microjoules or tell microwatts, and INA sensors that tell millivolts and milliamperes."""
    found = []
    for path, text in files.items():
        parts = re.match(r"(/sys/class/hwmon/hwmon\d+)/(energy|power|curr)(\d+)_(?:input|average)$", path)
        if parts is None:
            continue
        folder, quantity, number = parts.groups()
        name = files.get(f"{folder}/name") or "sensor"
        labels = (files.get(f"{folder}/{kind}{number}_label") for kind in (quantity, "in"))
        label = next((label for label in labels if label), None)
        covers = "gpu" if name in _GPU_DRIVERS else _covers(label or "")
        source = f"{name} {label or quantity + number}"
        if quantity == "energy":
            energy = _count(text)
            found += [] if energy is None else [_rail(source, covers, uj=energy)]
            continue
        if quantity == "power":
            power_w = _scaled(text, 1e-6)
        elif name.startswith("ina") and f"{folder}/power{number}_input" not in files:
            volts = _scaled(files.get(f"{folder}/in{number}_input"), 1e-3)
            amperes = _scaled(text, 1e-3)
            power_w = None if volts is None or amperes is None else volts * amperes
        else:
            power_w = None
        found += [] if power_w is None else [_rail(source, covers, w=power_w)]
    return found, []


def _old_jetson(files: Files) -> tuple[list[Json], list[str]]:
    """The INA3221 of Jetsons before JetPack 5, in milliwatts."""
    found = []
    for path, text in files.items():
        parts = re.match(r"(.*/ina3221x/.*)/in_power(\d)_input$", path)
        power_w = _scaled(text, 1e-3)
        if parts is not None and power_w is not None:
            label = files.get(f"{parts[1]}/rail_name_{parts[2]}") or f"power{parts[2]}"
            found.append(_rail(f"ina3221 {label}", _covers(label), w=power_w))
    return found, []


def _batteries(files: Files) -> tuple[list[Json], list[str]]:
    """What a battery gives, which is what the whole device takes as long as nothing charges it."""
    found, unknown = [], []
    for path, kind in files.items():
        folder, _, name = path.rpartition("/")
        if name != "type" or kind != "Battery" or files.get(f"{folder}/scope") == "Device":  # a mouse has one too
            continue
        state = files.get(f"{folder}/status")
        power_w = _battery_w(files, folder)
        if state != "Discharging":
            unknown.append(f"{BATTERY_CHARGED} ({state or 'it does not say'})")
        elif power_w is None:
            unknown.append("the battery does not tell its current")
        else:
            found.append(_rail(f"battery {folder.rpartition('/')[2]}", "board", w=power_w))
    return found, unknown


def _battery_w(files: Files, folder: str) -> float | None:
    power_w = _scaled(files.get(f"{folder}/power_now"), 1e-6)
    if power_w:
        return power_w
    volts, amperes = (_number(files.get(f"{folder}/{name}_now"), -1e8, 1e8) for name in ("voltage", "current"))
    if not volts or not amperes:
        return None
    # Microvolts and microamperes, of either sign; some phones say thousandths. No battery has 100 kV or gives 10 kA,
    # and none gives less than 10 mA to a device at work.
    volts *= 1e-6 if volts > 100_000 else 1e-3
    amperes = abs(amperes) * (1e-6 if abs(amperes) >= 10_000 else 1e-3)
    return volts * amperes


def _covers(label: str) -> str:
    """What hangs on a rail, by its name: a value of ``Covers``."""
    if _BOARD.search(label):
        return "board"
    if "CPU" in label:  # also of what CPU and GPU share
        return "processor"
    return "gpu" if "GPU" in label else "npu" if "NPU" in label else "part"


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _greatest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _most(files: Files, path: str, convert: Callable[[str | None], float | None]) -> float | None:
    """The greatest of the values that files of this path hold."""
    return _greatest(convert(text) for name, text in files.items() if re.fullmatch(path, name))


def _number(text: str | None, least: float, most: float) -> float | None:
    """The number that a text is; None: none, or nonsense."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if least <= value <= most else None


def _scaled(text: str | None, unit: float) -> float | None:
    value = _number(text, 0, 1e10)
    return None if value is None else value * unit


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None


def _mhz(text: str | None) -> float | None:
    """A clock that is told in hertz, kilohertz or megahertz: of a GPU or an NPU only one of them can be meant."""
    value = _number(text, 1, 1e10)
    if value is None:
        return None
    return value * (1e-6 if value > 1e7 else 1e-3 if value > 1e4 else 1.0)


def _celsius(text: str | None) -> float | None:
    """Zones tell thousandths; broken ones say 0 or the absolute zero."""
    value = _number(text, 1, 150_000)
    return None if value is None else value * 1e-3


def _percent_of(unit: float) -> Callable[[str | None], float | None]:
    """What turns ``12``, ``12 %`` or ``12@800000000Hz`` into percent."""

    def percent(text: str | None) -> float | None:
        found = re.match(r"(\d{1,4})(?:$|[ %@])", text or "")
        value = int(found[1]) * unit if found else None
        return value if value is not None and value <= 100 else None

    return percent


if __name__ == "__main__":
    first = read_rails()
    time.sleep(float(sys.argv[1]))
    sys.stdout.write(json.dumps([first, read_rails()]) + "\n")
