"""The emulated board as a device: prepared on first use, booted, and SSH from there on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from edgewidth.devices.emulator.board import HOST, Board
from edgewidth.devices.emulator.image import prepare
from edgewidth.devices.reach.destination import Destination
from edgewidth.devices.reach.ssh import SshTransport
from edgewidth.errors import ProfileError

if TYPE_CHECKING:
    from edgewidth.devices.emulator.image import BoardImage
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress


class EmulatorTransport(SshTransport):
    """A board of our own: it boots when the transport is opened and is switched off when it is closed."""

    def __init__(self, board: Board, image: BoardImage, profile: DeviceProfile) -> None:
        self.board = board
        super().__init__(_destination(board, image), profile)

    @classmethod
    def open(cls, profile: DeviceProfile, progress: Progress) -> Self:
        """Prepare the board if this machine has none, boot it and connect.

        Raises:
            ProfileError: The profile does not say which processor to emulate.
            DeviceError: A program is missing (the remedy installs it), or QEMU refuses.
            TransientDeviceError: A registry does not answer, or the board does not boot.
            StorageError: The cache cannot be written.
        """
        if profile.emulator is None:
            raise ProfileError(f"The device profile {profile.name} has no section emulator.")
        image = prepare(progress)
        board = Board(image, profile.emulator)
        try:
            with progress.task("Booting the emulated board"):
                board.wait_ready()
            return cls(board, image, profile)
        except BaseException:
            board.close()
            raise

    def close(self) -> None:
        """Close the link and switch the board off."""
        super().close()
        self.board.close()


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
