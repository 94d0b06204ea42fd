"""Whether the runner on a device is alive and at work, by what it says and how long ago."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.devices.measure import wire
from edgewidth.devices.measure.patience import KEPT
from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.records.measurement import Clock

if TYPE_CHECKING:
    from edgewidth.devices.measure.policy import Policy
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import Setting


class Watch:
    """Over one campaign's runner, however often that is started.

    ``revived`` says that the last thing that happened was a start of the same runner again.
    """

    def __init__(self, setting: Setting, policy: Policy, progress: Progress) -> None:
        self._name, self._policy, self._progress = setting.device, policy, progress
        # The runner's seconds are the device's: an emulator on a busy host is many times slower than the host.
        self.silence_s = policy.silence_s * (10 if setting.clock is Clock.ICOUNT else 1)
        self._restarts = 0
        self.begin()

    def begin(self) -> None:
        """A runner was started that knows nothing yet."""
        self._heard = self._worked = time.monotonic()
        self.revived = False

    def revive(self) -> None:
        """A runner that may be dead was started again."""
        self._heard, self.revived = time.monotonic(), True

    def hear(self, messages: Sequence[wire.Message], *, busy: bool) -> bool:
        """Take note of what it said; whether it is silent for so long that it must be dead.

        Raises:
            DeviceError: It is ``busy``, says that it lives, and does nothing.
        """
        now = time.monotonic()
        if messages:
            self._heard, self.revived = now, False
        if any(not isinstance(message, wire.Beat) for message in messages):
            self._worked = now
        patience_s = 3 * (self._policy.visit_limit_s + self._policy.cool_limit_s + self.silence_s)
        if now - self._worked > patience_s and busy:
            raise DeviceError(
                f"The runner on {self._name} says that it lives and measures nothing.",
                remedy=f"Restart the device. {KEPT}",
            )
        return now - self._heard > self.silence_s

    def count_restart(self, why: str) -> None:
        """It is to be started again.

        Raises:
            TransientDeviceError: That was done often enough.
        """
        self._restarts += 1
        if self._restarts > self._policy.restarts:
            times = "once" if self._policy.restarts == 1 else f"{self._policy.restarts} times"
            raise TransientDeviceError(f"{why} It was started again {times}.", remedy=KEPT)
        self._progress.say(f"{why} It is started again.")
