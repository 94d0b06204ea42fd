"""A real SSH server on loopback: an ordinary process with a port, keys and a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from support import require

from edgewidth.devices.reach.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"


class Server(NamedTuple):
    """A running server and what a client needs to reach it."""

    folder: Path
    port: int

    @property
    def config(self) -> Path:
        """An ssh config that knows the server as ``board``."""
        return self.folder / "config"

    @property
    def destination(self) -> Destination:
        """The server, by way of that config."""
        return Destination("board", None, ("-F", str(self.config)))

    def configure(self, **changes: object) -> Destination:
        """Write the ssh config with some options changed; where to go then."""
        options = {
            "HostName": HOST,
            "Port": self.port,
            "IdentityFile": self.folder / "user_key",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.folder / "known_hosts",
        } | changes
        lines = [f"  {name} {value}\n" for name, value in options.items()]
        self.config.write_text("Host board\n" + "".join(lines))
        return self.destination


def make_key(path: Path) -> str:
    """Make a key pair at ``path``; the public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, timeout=20)
    return path.with_name(path.name + ".pub").read_text()


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def sshd(folder: Path, *lines: str) -> Iterator[Server]:
    """A server for the length of a ``with`` block; ``lines`` are added to its configuration."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    require(program is not None and shutil.which("ssh"), "sshd and ssh (apt-get install openssh-server)")
    assert program is not None
    server = Server(folder, free_port())
    public = make_key(folder / "host_key")
    (folder / "authorized_keys").write_text(make_key(folder / "user_key"))
    (folder / "known_hosts").write_text(f"[{HOST}]:{server.port} {public}")
    server.configure()
    settings = [
        f"Port {server.port}\nListenAddress {HOST}\nHostKey {folder / 'host_key'}\nPidFile none",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\nUsePAM no",
        "PasswordAuthentication yes\nPermitRootLogin yes\nMaxStartups 100",
        *lines,
    ]
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where a system's own sshd would make it
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait_for(server.port, process, folder / "sshd.log")
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"sshd does not listen: {log.read_text()}")


class Cable:
    """A link to a port of this machine that can be cut and plugged in again."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._plugged = True
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._plugged = False
        for each in self._sockets:
            with suppress(OSError):  # the other end may have been quicker
                each.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def restore(self) -> None:
        """Let connections through again."""
        self._plugged = True

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._plugged:
                near.close()
                continue
            far = socket.create_connection((HOST, self._target), timeout=5)
            far.settimeout(None)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
