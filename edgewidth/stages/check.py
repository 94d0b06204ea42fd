"""Whether a device is fit to measure on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.devices.check import check_device
from edgewidth.formats.registry import FORMATS
from edgewidth.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgewidth.devices.check import DeviceCheck
    from edgewidth.stages.target import Target


def check(target: Target, *, progress: Progress = SILENT) -> DeviceCheck:
    """Reach a device, look at it and measure a small model; what fails is an item, not an exception.

    Raises:
        InputError: More threads than the device's clock can show.
    """
    trial = FORMATS[target.engine.file_format].trial
    return check_device(target.profile, target.engine, target.threads, trial, progress=progress)
