"""The emulated board as a device: prepared on first use, booted, and SSH from there on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from edgewidth.devices.emulator.board import HOST, Board
from edgewidth.devices.emulator.image import prepare
from edgewidth.devices.reach.destination import Destination
from edgewidth.devices.reach.ssh import SshTransport
from edgewidth.errors import ProfileError
from edgewidth.progress import SILENT

if TYPE_CHECKING:
    from edgewidth.devices.emulator.image import BoardImage
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress


class EmulatorTransport(SshTransport):
    """A board of our own: it boots when the transport is opened and is switched off when it is closed.

    One whose QEMU has ended is told from one whose link is cut: another boots in its place, with nothing on it.
    """

    def __init__(self, board: Board, image: BoardImage, profile: DeviceProfile, progress: Progress = SILENT) -> None:
        self.board, self._image, self._progress = board, image, progress
        super().__init__(self._destination_now, profile)

    @classmethod
    def open(cls, profile: DeviceProfile, progress: Progress) -> Self:
        """Prepare the board if this machine has none, boot it and connect.

        Raises:
            ProfileError: The profile does not say which processor to emulate.
            DeviceError: A program is missing (the remedy installs it), or QEMU refuses.
            TransientDeviceError: A registry does not answer, or the board does not boot.
            StorageError: The cache cannot be written.
        """
        image = prepare(progress)
        board = _boot(image, profile, progress)
        try:
            return cls(board, image, profile, progress)
        except BaseException:
            board.close()
            raise

    def _destination_now(self) -> Destination:
        """Where to connect to: another board where this one has ended."""
        if not self.board.running:
            self._progress.say(f"{self._profile.name} has ended, and boots again.")
            self.board.close()
            self.board = _boot(self._image, self._profile, self._progress)
        return _destination(self.board, self._image)._replace(label=self._profile.name)

    def close(self) -> None:
        """Close the link and switch the board off."""
        super().close()
        self.board.close()


def _boot(image: BoardImage, profile: DeviceProfile, progress: Progress) -> Board:
    """A board that is ready."""
    if profile.emulator is None:
        raise ProfileError(f"The device profile {profile.name} has no section emulator.")
    board = Board(image, profile.emulator)
    try:
        with progress.task(f"Booting {profile.name}"):
            board.wait_ready()
    except BaseException:
        board.close()
        raise
    return board


def _destination(board: Board, image: BoardImage) -> Destination:
    """The board with its own keys; the user's config, agent and known hosts have no say here."""
    options = {
        "HostKeyAlias": image.host_alias,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": f'"{image.identity}"',
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{image.known_hosts}"',
        "GlobalKnownHostsFile": "none",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return Destination(f"root@{HOST}", board.port, ("-F", "none", *words))
