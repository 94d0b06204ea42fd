"""Vela, Arm's compiler for the Ethos-U: what it makes of an int8 .tflite, and what it says that this costs."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import os
import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.reach.process import failure_line, finish
from edgewidth.errors import DeviceError, MissingPackageError
from edgewidth.files import temporary_folder

if TYPE_CHECKING:
    from edgewidth.devices.profiles import EthosUSection

COMPILE_S = 600.0
"""A file may take Vela so long; large ones take minutes."""
_OPERATORS = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)
_REFUSED = re.compile(r"^Warning \(supported operators\) operator: ([A-Z0-9_]+)", re.MULTILINE)


class VelaEstimate(NamedTuple):
    """What Vela says of a file. It counts cycles by a model of the hardware; nothing was measured."""

    seconds: float
    """One inference of what the Ethos-U takes."""
    cycles: int
    sram_bytes: int
    """The SRAM that tensors take at once, where the memory mode puts them there."""
    flash_bytes: int
    """Everything beside the SRAM: flash, or the DRAM of larger systems."""
    on_npu: int
    """How many operators, as Vela has fused them, the Ethos-U takes."""
    on_cpu: int
    """How many are left to the microcontroller's processor; the estimate is without them."""
    refused: tuple[str, ...]
    """The kinds of operators that Vela says the Ethos-U cannot take."""
    compiled: bytes
    """The file as the Ethos-U runs it, in TFLite's format."""


def vela_version() -> str | None:
    """The version of the compiler on this machine; None: it is not installed."""
    try:
        return importlib.metadata.version("ethos-u-vela")
    except importlib.metadata.PackageNotFoundError:
        return None


def compile_with_vela(content: bytes, section: EthosUSection, *, timeout_s: float = COMPILE_S) -> VelaEstimate:
    """Compile a .tflite file for the Ethos-U that ``section`` names, in a process of its own.

    Raises:
        MissingPackageError: Vela is not installed.
        DeviceError: Vela failed; the message has its reason.
        TransientDeviceError: It took longer than ``timeout_s``.
    """
    if find_spec("ethosu") is None:
        raise MissingPackageError("ethos-u-vela", extra="ethos-u", purpose="Asking Vela about an Ethos-U")
    with temporary_folder() as folder:
        (folder / "model.tflite").write_bytes(content)
        done = finish(
            [sys.executable, "-m", "ethosu.vela", "model.tflite", "--output-dir", "out", *section.vela_words()],
            timeout_s=timeout_s,
            what="Vela",
            environment={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            folder=folder,
        )
        text = done.stdout.decode(errors="replace")
        made = list((folder / "out").glob("model_summary_*.csv"))
        if done.returncode != 0 or len(made) != 1:
            reason = failure_line(done.stderr) or failure_line(done.stdout) or "it says nothing"
            raise DeviceError(
                f"Vela cannot compile this file for {section.accelerator}: {reason}.",
                remedy="Give an int8 .tflite, and a system_config and memory_mode that this Vela knows.",
            )
        return _read(made[0].read_text(encoding="utf-8"), text, (folder / "out" / "model_vela.tflite").read_bytes())


def _read(summary: str, text: str, compiled: bytes) -> VelaEstimate:
    try:
        row = next(csv.DictReader(io.StringIO(summary)))
        beside = ("dram", "on_chip_flash", "off_chip_flash")
        counts = {name: int(count) for name, count in _OPERATORS.findall(text)}
        return VelaEstimate(
            seconds=float(row["inference_time"]),
            cycles=round(float(row["cycles_total"])),
            sram_bytes=round(1024 * float(row["sram_memory_used"])),
            flash_bytes=round(1024 * sum(float(row[f"{name}_memory_used"]) for name in beside)),
            on_npu=counts.get("NPU", 0),
            on_cpu=counts.get("CPU", 0),
            refused=tuple(dict.fromkeys(_REFUSED.findall(text))),
            compiled=compiled,
        )
    except (StopIteration, KeyError, ValueError) as error:
        raise DeviceError(
            f"Vela's summary cannot be understood: {type(error).__name__} {error}.",
            remedy="Use the version of ethos-u-vela that edgewidth asks for.",
        ) from error
