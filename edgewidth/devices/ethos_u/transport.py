"""An Ethos-U as a device: its files are on this machine, and its runner asks Vela where others measure."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewidth.devices.ethos_u.vela import compile_with_vela, vela_version
from edgewidth.devices.on_device import runner
from edgewidth.devices.on_device.placement import placed
from edgewidth.devices.on_device.visit import VisitError
from edgewidth.devices.reach.local import LocalTransport
from edgewidth.errors import DeviceError, ProfileError, SurroundingsError
from edgewidth.files import temporary_folder
from edgewidth.records.measurement import Clock, DeviceFacts, DeviceState, Runtime
from edgewidth.waiting import beside

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile, EthosUSection
    from edgewidth.progress import Progress


class EthosUTransport(LocalTransport):
    """The device, in a temporary folder of this machine unless the profile names one."""

    clock = Clock.ESTIMATE

    def __init__(self, folder: Path, section: EthosUSection) -> None:
        super().__init__(folder, "python3")
        self._section = section
        self._temporary = ExitStack()

    @classmethod
    def open(cls, profile: DeviceProfile, progress: Progress) -> EthosUTransport:
        """Make the folder; whether Vela is there is told by ``facts``.

        Raises:
            ProfileError: The profile does not say which Ethos-U.
        """
        del progress
        if profile.ethos_u is None:
            raise ProfileError(f"The device profile {profile.name} has no section ethos_u.")
        stack = ExitStack()
        folder = Path(profile.workdir) if profile.workdir else stack.enter_context(temporary_folder())
        transport = cls(folder, profile.ethos_u)
        transport._temporary = stack
        return transport

    def facts(self) -> DeviceFacts:
        """Which Ethos-U, and whether the compiler is there."""
        version = vela_version()
        return DeviceFacts(
            model=self._section.title,
            architecture="ethos-u",
            runtimes={} if version is None else {Runtime.VELA.value: version},
        )

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Serve a session in a thread; nothing else can be started here."""
        if len(argv) != 5 or argv[2] != "serve":
            raise DeviceError(f"An Ethos-U of which Vela tells only runs the runner, not {argv[0]}.")
        threading.Thread(target=self._serve, args=(Path(argv[3]), float(argv[4])), name=log, daemon=True).start()

    def _serve(self, folder: Path, started_s: float) -> None:
        with contextlib.suppress(FileNotFoundError):  # a session whose folder is gone
            runner.Session(folder, started_s, lambda _: self._estimate).serve()

    def _estimate(self, path: str, plan: Mapping[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
        """What ``visit.Model.visit`` returns of a real device: the estimate, once as warm-up and once as run."""
        content, limit_s = Path(path).read_bytes(), plan["limit_s"]
        try:
            found = beside(lambda: compile_with_vela(content, self._section, timeout_s=limit_s), beat)
        except SurroundingsError as error:
            raise VisitError(error.message, final=True) from error
        operators = found.on_npu + found.on_cpu
        where = placed(operators, found.on_npu, left=found.refused, processor=self._section.title)
        nothing = DeviceState().model_dump()
        # A file of which the Ethos-U takes nothing has no time; that it took nothing is told.
        one_ns = max(1, round(1e9 * found.seconds))
        return {
            "warmup_ns": [one_ns],
            "runs_ns": [one_ns],
            "before": nothing,
            "after": nothing,
            "own_s": 0.0,
            "placed": {**where, "footprint": {"sram_bytes": found.sram_bytes, "flash_bytes": found.flash_bytes}},
        }

    def close(self) -> None:
        """Let go of it, and of its folder if that was its own."""
        super().close()
        self._temporary.close()
