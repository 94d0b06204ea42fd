"""What a device without Python is and how it is doing, asked through its shell.

Nothing that a user or a device says gets into the scripts below. They use what Android's toybox, busybox and a common
Linux all have; what a device does not know stays unsaid. What GPUs and power sensors say is only read here: the
functions of ``on_device.sensors`` find its meaning.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgewidth.devices.on_device.sensors import (
    ACCELERATOR_FILES,
    INA_FILES,
    NVIDIA_FIELDS,
    NVIDIA_REASON,
    PROGRAM_LIMIT_S,
    RAIL_FILES,
    accelerators,
    rails,
)
from edgewidth.devices.on_device.vitals import ARM_PARTS
from edgewidth.records.measurement import DeviceFacts, DeviceState

if TYPE_CHECKING:
    from edgewidth.devices.reach.transport import Transport

_TICKS_PER_S = 100
"""USER_HZ: 100 in the interface of every Linux, whatever the kernel's own rate."""
_SEPARATOR = "\x1e"

_FACTS_SCRIPT = """exec 2>/dev/null
for name in ro.product.manufacturer ro.product.model ro.soc.manufacturer ro.soc.model ro.board.platform \
ro.build.version.release; do echo "$name=$(getprop $name)"; done; printf '\\036'
cat /proc/device-tree/model; printf '\\036'
uname -m; printf '\\036'
uname -sr; printf '\\036'
nproc --all; printf '\\036'
cat /proc/meminfo; printf '\\036'
cat /proc/cpuinfo; printf '\\036'
df -k . | tail -n 1
"""


def _below_root(*patterns: str) -> str:
    return " ".join(f'"$r"{pattern}' for pattern in patterns)


_LIMIT = f"timeout {PROGRAM_LIMIT_S:.0f}"
_NVIDIA = f"{_LIMIT} nvidia-smi --format=csv,noheader,nounits --query-gpu={NVIDIA_FIELDS}"
_SENSORS = f"""exec 2>/dev/null
show() {{ for f in "$@"; do if [ -e "$f" ]; then l=; read -r l <"$f"; echo "${{f#"$r"}} $l"; fi; done; }}
rails() {{ cat /proc/uptime; show {_below_root(*RAIL_FILES)}
for h in "$r"/sys/class/hwmon/hwmon*; do n=; read -r n <"$h/name"; case $n in
ina*) show {" ".join(f'"$h"/{name}' for name in INA_FILES)};; esac; done; }}
"""
_IDLE_SCRIPT = "rails; sleep {:.0f}; printf '\\036'; rails\n"
_STATE_SCRIPT = f"""cat /proc/stat /proc/uptime; printf '\\036'
[ "$e" ] && rails; printf '\\036'
show {_below_root(*ACCELERATOR_FILES)}; printf '\\036'
[ "$p" ] && {{ {_NVIDIA}{NVIDIA_REASON} || {_NVIDIA}; }}; printf '\\036'
[ "$p" ] && {_LIMIT} vcgencmd measure_clock v3d; printf '\\036'
cat /proc/loadavg; printf '\\036'
cat /proc/meminfo; printf '\\036'
cat /proc/vmstat; printf '\\036'
for c in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
read f <$c/scaling_cur_freq && read g <$c/scaling_governor && echo "$c $f $g"; done; printf '\\036'
for z in "$r"/sys/class/thermal/thermal_zone*; do
read t <$z/temp && read n <$z/type && echo "$t $n"; done; printf '\\036'
dumpsys thermalservice; printf '\\036'
[ "$e" ] || rails; printf '\\036'
cat /proc/stat /proc/uptime
"""
# ``read`` is the shell's own: a process for each of a phone's hundred thermal zones would be load of our own making.


def shell_facts(transport: Transport) -> DeviceFacts:
    """What the device is; for Android from its properties.

    Raises:
        TransientDeviceError: The link failed.
    """
    properties, board, machine, kernel, cores, memory, processors, space = _ask(transport, _FACTS_SCRIPT, 8)
    known = _pairs(properties, "=")
    release = known.get("ro.build.version.release")
    return DeviceFacts(
        model=_join(known, "ro.product.manufacturer", "ro.product.model") or board.strip("\0\n ") or None,
        processor=_join(known, "ro.soc.manufacturer", "ro.soc.model") or _processor(processors, known),
        architecture=machine.strip() or None,
        cores=_integer(cores),
        memory_bytes=_kilobytes(memory, "MemTotal"),
        system=f"Android {release}, {kernel.strip()}" if release else kernel.strip() or None,
        free_bytes=_free_bytes(space),
    )


def shell_state(
    transport: Transport, affinity: Sequence[int] = (), *, ends: bool = False, programs: bool = False, root: str = ""
) -> DeviceState:
    """How the device is doing at this moment; of its frequencies those of ``affinity`` count, of all if it is empty.

    Where something ``ends`` now, processor time and energy are read before the rest instead of after it, so that
    between two states they have no share of what asking costs. ``programs``: the system's own are asked about its GPU
    too. ``root`` is where its ``/sys`` is.

    Raises:
        TransientDeviceError: The link failed.
    """
    given = f"r={shlex.quote(root)}; e={'yes' if ends else ''}; p={'yes' if programs else ''}\n"
    parts = _ask(transport, given + _SENSORS + _STATE_SCRIPT, 13)
    first, first_rails, files, nvidia, v3d, load, memory, pages, clocks, zones, thermal, last_rails, last = parts
    busy_s, uptime_s = _busy_s(first if ends else last)
    frequency, governor = _clock_speed(clocks, affinity)
    swaps = [_integer(_pairs(pages, " ").get(name, "")) for name in ("pswpin", "pswpout")]
    temperature, flags = parse_thermalservice(thermal)
    return DeviceState(
        temperature_c=_zone_temperature(zones) if temperature is None else temperature,
        frequency_mhz=frequency,
        governor=governor,
        throttled=flags,
        load_1m=_number(load.split(" ")[0]),
        available_bytes=_kilobytes(memory, "MemAvailable"),
        swapped_pages=sum(number for number in swaps if number is not None) if None not in swaps else None,
        busy_s=busy_s,
        uptime_s=uptime_s,
        **accelerators(_files(files) | _zone_files(zones), nvidia, v3d),
        **_rails(first_rails if ends else last_rails),
    )


def shell_idle(transport: Transport, seconds: float, *, root: str = "") -> tuple[DeviceState, DeviceState]:
    """What the power sensors say before and after so many whole seconds in which nothing of ours works.

    Raises:
        TransientDeviceError: The link failed.
    """
    script = f"r={shlex.quote(root)}\n" + _SENSORS + _IDLE_SCRIPT.format(seconds)
    first, last = _ask(transport, script, 2)
    return DeviceState(**_rails(first)), DeviceState(**_rails(last))


def parse_thermalservice(text: str) -> tuple[float | None, tuple[str, ...]]:
    """The hottest processor temperature in °C and the raised flags of ``dumpsys thermalservice``.

    Type 0 is a processor and type 3 the skin (Android's ``TemperatureType``); status 1 is light throttling,
    everything above is felt by whoever measures (``ThrottlingSeverity``).
    """
    _, _, current = text.partition("Current temperatures from HAL:")
    current = current.partition("Current cooling devices")[0]
    readings = re.findall(r"Temperature\{mValue=(-?[\d.]+), mType=(\d+),", current or text)
    for kind in ("0", "3"):
        values = [value for value in (_number(text) for text, type_ in readings if type_ == kind) if value]
        if values:
            break
    else:
        values = []
    status = re.search(r"Thermal Status: (\d+)", text)
    flags = ("throttled",) if status is not None and int(status[1]) > 0 else ()
    return max(values, default=None), flags


def _ask(transport: Transport, script: str, count: int) -> list[str]:
    """The outputs of the parts of a script, as many as there should be."""
    done = transport.run(["sh"], stdin=script.encode(), timeout_s=30.0)
    parts = done.stdout.decode(errors="replace").split(_SEPARATOR)
    return (parts + [""] * count)[:count]


def _files(text: str) -> dict[str, str | None]:
    """What a device's ``show`` printed: paths and first lines."""
    split = (line.partition(" ") for line in text.splitlines())
    return {path: content.strip() or None for path, _, content in split if path.startswith("/")}


def _zone_files(zones: str) -> dict[str, str | None]:
    """The zones as files, of which only their names and temperatures are known."""
    found: dict[str, str | None] = {}
    for number, line in enumerate(zones.splitlines()):
        temperature, _, name = line.partition(" ")
        folder = f"/sys/class/thermal/thermal_zone{number}"
        found |= {f"{folder}/type": name, f"{folder}/temp": temperature}
    return found


def _rails(text: str) -> dict[str, Any]:
    """What a device's ``rails`` printed, as fields of a state: the seconds since its start, then files."""
    uptime, _, shown = text.strip().partition("\n")
    at_s = _number(uptime.split(" ")[0])
    return {} if at_s is None else rails(_files(shown), at_s)


def _pairs(text: str, separator: str) -> dict[str, str]:
    split = (line.partition(separator) for line in text.splitlines())
    return {name.strip(): value.strip() for name, found, value in split if found}


def _join(known: Mapping[str, str], *names: str) -> str | None:
    return " ".join(known[name] for name in names if known.get(name)) or None


def _processor(cpuinfo: str, known: Mapping[str, str]) -> str | None:
    fields = _pairs(cpuinfo, ":")
    part = ARM_PARTS.get(fields.get("CPU part", ""))
    return known.get("ro.board.platform") or fields.get("model name") or fields.get("Hardware") or part


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _integer(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _kilobytes(meminfo: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _free_bytes(line: str) -> int | None:
    """The available column of a line of ``df -k``: the one before the percentage."""
    found = re.search(r"(\d+)\s+\d+%", line)
    return int(found[1]) * 1024 if found else None


def _clock_speed(text: str, affinity: Sequence[int]) -> tuple[float | None, str | None]:
    """The highest frequency of the processors that matter, in MHz, and the governor of the first of them."""
    lines = re.findall(r"/cpu(\d+)/cpufreq (\d+) (\w+)", text)
    of_interest = sorted((int(cpu), int(khz), name) for cpu, khz, name in lines if not affinity or int(cpu) in affinity)
    if not of_interest:
        return None, None
    return max(khz for _, khz, _ in of_interest) / 1000, of_interest[0][2]


def _zone_temperature(text: str) -> float | None:
    """The hottest zone that is named after a processor, in °C; zones tell thousandths."""
    zones = re.findall(r"^(-?\d+) (.+)$", text, re.MULTILINE)
    values = [int(value) / 1000 for value, name in zones if re.search(r"cpu|soc|pkg", name)]
    # Phones have dozens of zones, and some are broken: they say 0 or the absolute zero.
    return max((value for value in values if 0 < value < 150), default=None)


def _busy_s(text: str) -> tuple[float | None, float | None]:
    """Seconds that processors were neither idle nor waiting for a disk, and seconds since boot."""
    lines = [line.split() for line in text.strip().splitlines()]
    if len(lines) < 2 or len(lines[0]) < 9 or lines[0][0] != "cpu":
        return None, None
    return sum(int(lines[0][i]) for i in (1, 2, 3, 6, 7, 8)) / _TICKS_PER_S, _number(lines[-1][0])
