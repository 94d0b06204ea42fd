"""What a machine is and how it is doing, in its own words. Standard library only, Python 3.9: it runs on devices.

``python3 - facts FOLDER``, with this file as standard input, prints what it is as JSON.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Json = dict[str, Any]

THROTTLE_FLAGS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
"""Bits 0 to 3 of the Raspberry Pi's ``get_throttled``; bits 16 to 19 say that it has occurred since boot."""
COMPILED_MODEL = " (CompiledModel)"
"""What the version of a LiteRT ends in that runs models by its ``CompiledModel``."""
ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd44": "Cortex-X1",
}
"""What ``CPU part`` in ``/proc/cpuinfo`` means for implementer 0x41 (Arm)."""


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _number(path: str, scale: float) -> float | None:
    text = _text(path)
    try:
        return None if text is None else float(text) * scale
    except ValueError:
        return None


def _counters(path: str) -> dict[str, str]:
    """The ``name value`` or ``name: value`` lines of a file of ``/proc``."""
    pairs = (line.replace(":", " ", 1).split(None, 1) for line in (_text(path) or "").splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


@functools.cache
def _sensors() -> list[str]:
    """The processor's temperature sensors, or the first one where none is named so."""
    zones = sorted(Path("/sys/class/thermal").glob("thermal_zone*"))
    named = [zone for zone in zones if any(word in (_text(f"{zone}/type") or "") for word in ("cpu", "soc", "pkg"))]
    return [f"{zone}/temp" for zone in named or zones[:1]]


def temperature_c() -> float | None:
    """The hottest of the processor's sensors."""
    values = [_number(sensor, 1e-3) for sensor in _sensors()]
    return max((value for value in values if value is not None), default=None)


def _frequency_mhz(processors: Sequence[int]) -> float | None:
    folder = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
    values = [_number(folder.format(processor), 1e-3) for processor in processors]
    return max((value for value in values if value is not None), default=None)


@functools.cache
def _vcgencmd() -> str | None:
    return shutil.which("vcgencmd")


def _asked_throttling() -> str:
    """What the Raspberry Pi's own program says, or why it says nothing; ``0`` where there is none."""
    program = _vcgencmd()
    if program is None:
        return "0"
    try:
        done = subprocess.run([program, "get_throttled"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"vcgencmd: {error}"
    return (done.stdout + done.stderr).decode(errors="replace")


def throttling() -> Json:
    """The flags that are raised; or why the device cannot tell, which stops no measurement."""
    text = _text("/sys/devices/platform/soc/soc:firmware/get_throttled") or _asked_throttling()
    found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", text.strip())
    if found is None:
        return {"throttled": [], "throttling_unknown": " ".join(text.split())[:200] or "vcgencmd says nothing"}
    bits = int(found[1], 16)
    now = [name for bit, name in enumerate(THROTTLE_FLAGS) if bits >> bit & 1]
    before = [f"{name} since boot" for bit, name in enumerate(THROTTLE_FLAGS) if bits >> bit + 16 & 1]
    return {"throttled": now + before, "throttling_unknown": None}


def _busy_s() -> float | None:
    fields = _counters("/proc/stat").get("cpu", "").split()
    if len(fields) < 8:
        return None
    # user nice system idle iowait irq softirq steal: all but idle and iowait is somebody working.
    return sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7)) / os.sysconf("SC_CLK_TCK")


def read_state(affinity: Sequence[int] = ()) -> Json:
    """How the device is doing right now: the fields of ``DeviceState``, but for what ``sensors`` tells."""
    memory, swap = _counters("/proc/meminfo"), _counters("/proc/vmstat")
    processors = affinity or range(os.cpu_count() or 1)
    available = memory.get("MemAvailable", "").split()
    return {
        "temperature_c": temperature_c(),
        "frequency_mhz": _frequency_mhz(processors),
        "governor": _text(f"/sys/devices/system/cpu/cpu{processors[0]}/cpufreq/scaling_governor"),
        **throttling(),
        "load_1m": os.getloadavg()[0],
        "available_bytes": int(available[0]) * 1024 if available else None,
        "swapped_pages": int(swap["pswpin"]) + int(swap["pswpout"]) if {"pswpin", "pswpout"} <= set(swap) else None,
        "busy_s": _busy_s(),
    }


def _processor() -> str | None:
    fields: dict[str, str] = {}
    for line in (_text("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields.get("model name") or ARM_PARTS.get(fields.get("CPU part", "")) or fields.get("Hardware")


def _model() -> str | None:
    board = _text("/proc/device-tree/model")
    if board is not None:
        return board
    names = (_text(f"/sys/devices/virtual/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
    return " ".join(name for name in names if name) or None


def _system() -> str:
    for line in (_text("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"') + ", Linux " + platform.release()
    return f"{platform.system()} {platform.release()}"


def has_compiled_model() -> bool:
    """Whether LiteRT can run models here by its ``CompiledModel``, and not only by its interpreter.

    Versions before 2 do not have it. The wheel for 64-bit Arm loads its GPU library even for the processor, and that
    ends the process on processors without the atomic instructions of Armv8.1: Cortex-A53, A57 and A72.
    """
    from importlib.util import find_spec  # noqa: PLC0415 - as in find_runtimes

    if find_spec("ai_edge_litert") is None or find_spec("ai_edge_litert.compiled_model") is None:
        return False
    features = {line.partition(":")[2] for line in (_text("/proc/cpuinfo") or "").splitlines() if "Features" in line}
    return platform.machine() != "aarch64" or any("atomics" in one.split() for one in features)


def find_runtimes() -> dict[str, str]:
    """The versions of the runtimes that this Python can import, by their names in edgewidth."""
    from importlib import metadata  # noqa: PLC0415 - costs 30 ms that a visit need not pay

    found = {}
    for runtime, package in (
        ("litert", "ai-edge-litert"),
        ("tflite-runtime", "tflite-runtime"),
        ("onnxruntime", "onnxruntime"),
        ("tensorflow", "tensorflow"),
    ):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[runtime] = metadata.version(package)
    if "litert" in found and has_compiled_model():
        found["litert"] += COMPILED_MODEL  # its times must not meet those of the interpreter
    tensorflow = found.pop("tensorflow", None)
    if tensorflow is not None:  # it brings the same interpreter, of its own version
        found.setdefault("litert", f"tensorflow-{tensorflow}")
    return found


def read_facts(folder: str) -> Json:
    """What the device is: the fields of ``DeviceFacts``; ``folder`` is where models will be put."""
    memory = _counters("/proc/meminfo").get("MemTotal", "").split()
    space = os.statvfs(folder)
    return {
        "model": _model(),
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": int(memory[0]) * 1024 if memory else None,
        "system": _system(),
        "python": platform.python_version(),
        "runtimes": find_runtimes(),
        "free_bytes": space.f_bavail * space.f_frsize,
    }


def main(words: Sequence[str]) -> int:
    """``facts FOLDER``."""
    sys.stdout.write(json.dumps(read_facts(words[1])) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
