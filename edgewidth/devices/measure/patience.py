"""How long to wait for a device that does not answer: the one place that decides it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from edgewidth.errors import TransientDeviceError
from edgewidth.waiting import pause

if TYPE_CHECKING:
    from edgewidth.devices.measure.policy import Policy
    from edgewidth.progress import Progress

_T = TypeVar("_T")
_LONGEST_PAUSE_S = 8.0
KEPT = "What was measured is kept: start the same command again when the device is well."


class Patience:
    """Tries again what a broken link stopped, less and less often, until ``policy.patience_s`` are over.

    ``breaks`` counts how often the link was back after it had failed: the device may have been restarted meanwhile.
    """

    def __init__(self, policy: Policy, progress: Progress) -> None:
        self._limit_s, self._first_pause_s, self._progress = policy.patience_s, policy.retry_s, progress
        self.breaks = 0

    def hurry(self) -> None:
        """From now on wait for nothing."""
        self._limit_s = 0.0

    def __call__(self, call: Callable[[], _T]) -> _T:
        """What ``call`` returns.

        Raises:
            TransientDeviceError: It failed until the time was over.
        """
        limit_s, pause_s = self._limit_s, self._first_pause_s
        began, failed = time.monotonic(), False
        while True:
            try:
                result = call()
            except TransientDeviceError as error:
                left_s = began + limit_s - time.monotonic()
                if left_s <= 0:
                    raise TransientDeviceError(
                        f"{error.message} It was waited for, {limit_s:g} s long.",
                        remedy=f"{error.remedy or 'See what happened to the device.'} {KEPT}",
                    ) from error
                if not failed:
                    self._progress.say(f"{error.message} It is waited for, for at most {limit_s:g} s.")
                    failed = True
                pause(min(pause_s, left_s))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self.breaks += failed
                return result
