"""The device's side of ADB: what ``adbd`` does on a phone, as far as edgewidth uses it, over TCP.

Speaks the transport protocol (CNXN, AUTH, OPEN, OKAY, WRTE, CLSE) with the services ``shell:``, ``shell,v2:``,
``exec:`` and ``sync:`` (STAT, LST2, STA2, LIST, SEND, RECV), so that the real adb program can be tested without
a phone. Standard library and Python 3.9 only, so that it also runs on an emulated board:
``python3 adb_daemon.py PORT ADDRESS``. It executes what it is told: never let it listen elsewhere than on loopback
or in a board's own network.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

VERSION, MAX_DATA = 0x01000001, 1 << 20
TOKEN = 1
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
BANNER = (
    b"device::ro.product.name=test;ro.product.model=Test_Phone;ro.product.device=test;features=shell_v2,cmd,stat_v2"
)
OLD_BANNER = b"device::ro.product.name=old;ro.product.model=Old_Phone;ro.product.device=old;features=cmd"


class Stream:
    """One service of one connection; each side sends one message and waits for its OKAY."""

    def __init__(self, link: Link, local: int, remote: int) -> None:
        self.link, self.local, self.remote = link, local, remote
        self.inbox: queue.Queue[bytes | None] = queue.Queue()
        self.ready = threading.Semaphore(0)
        self.closed = False
        self.buffer = b""

    def write(self, content: bytes) -> None:
        """Send all of ``content``, waiting for the other side as it asks."""
        for start in range(0, len(content), MAX_DATA):
            if self.closed:
                raise ConnectionError
            self.link.send(b"WRTE", self.local, self.remote, content[start : start + MAX_DATA])
            self.ready.acquire()

    def message(self) -> bytes:
        """The next message; empty once the stream is closed."""
        content = self.inbox.get()
        if content is None:
            self.inbox.put(None)
            return b""
        self.link.send(b"OKAY", self.local, self.remote)
        return content

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes, whatever messages they come in."""
        while len(self.buffer) < count:
            content = self.message()
            if not content:
                raise ConnectionError
            self.buffer += content
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def close(self) -> None:
        """End both directions and whoever waits."""
        self.closed = True
        self.inbox.put(None)
        self.ready.release()


class Link:
    """One connection of an adb server."""

    def __init__(self, daemon: AdbDaemon, connection: socket.socket) -> None:
        self.daemon, self.connection = daemon, connection
        self.streams: dict[int, Stream] = {}
        self.lock = threading.Lock()

    def send(self, command: bytes, first: int, second: int, content: bytes = b"") -> None:
        """One message of the transport protocol."""
        (number,) = struct.unpack("<I", command)
        head = struct.pack("<6I", number, first, second, len(content), sum(content), number ^ 0xFFFFFFFF)
        with self.lock:
            self.connection.sendall(head + content)

    def _receive(self, count: int) -> bytes:
        content = bytearray()
        while len(content) < count:
            part = self.connection.recv(min(count - len(content), 1 << 18))
            if not part:
                raise ConnectionError
            content += part
        self.daemon.count(count)
        return bytes(content)

    def serve(self) -> None:
        """Answer messages until the connection ends."""
        try:
            while True:
                command, first, second, length, _, _ = struct.unpack("<4s5I", self._receive(24))
                self.handle(command, first, second, self._receive(length))
        except OSError:
            pass
        finally:
            self.connection.close()
            for stream in list(self.streams.values()):
                stream.close()

    def handle(self, command: bytes, first: int, second: int, content: bytes) -> None:
        """One message from the other side."""
        if command in {b"CNXN", b"AUTH"}:
            self._greet()
        elif command == b"OPEN":
            local = first  # their number serves as ours: each stream has one of either
            self.streams[local] = stream = Stream(self, local, first)
            name = content.rstrip(b"\0").decode()
            threading.Thread(target=self._service, args=(stream, name), daemon=True).start()
        elif command == b"WRTE" and second in self.streams:
            self.streams[second].inbox.put(content)
        elif command == b"OKAY" and second in self.streams:
            self.streams[second].ready.release()
        elif command == b"CLSE" and second in self.streams:
            self.streams.pop(second).close()
            self.send(b"CLSE", second, first)

    def _greet(self) -> None:
        if self.daemon.state == "unauthorized":
            self.send(b"AUTH", TOKEN, 0, b"0" * 20)
        elif self.daemon.state != "offline":
            self.send(b"CNXN", VERSION, MAX_DATA, OLD_BANNER if self.daemon.state == "old" else BANNER)

    def _service(self, stream: Stream, name: str) -> None:
        kind, _, argument = name.partition(":")
        try:
            self.send(b"OKAY", stream.local, stream.remote)
            if kind == "sync":
                sync(stream)
            elif kind.split(",")[0] in {"shell", "exec"}:
                run(stream, argument, self.daemon.environment, framed="v2" in kind.split(","))
            if not stream.closed:
                self.send(b"CLSE", stream.local, stream.remote)
        except OSError:
            stream.close()


class AdbDaemon:
    """Listens; ``state`` is ``device``, ``unauthorized``, ``offline``, or ``old`` (no shell v2)."""

    def __init__(
        self, port: int = 0, address: str = "127.0.0.1", *, programs: Path | None = None, state: str = "device"
    ) -> None:
        self.environment = dict(os.environ)
        if programs is not None:
            self.environment["PATH"] = f"{programs}:{self.environment['PATH']}"
        self.state = state
        self.cut_after: int | None = None
        self.links: list[Link] = []
        self.listener = socket.create_server((address, port))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def serial(self) -> str:
        """As ``adb devices`` lists it."""
        return f"127.0.0.1:{self.port}"

    def count(self, received: int) -> None:
        """Cut the link once, when ``cut_after`` more bytes have come."""
        if self.cut_after is not None:
            self.cut_after -= received
            if self.cut_after <= 0:
                self.cut_after = None
                self.cut()

    def cut(self) -> None:
        """Cut every connection; new ones are taken."""
        for link in self.links:
            with contextlib.suppress(OSError):
                link.connection.shutdown(socket.SHUT_RDWR)
        self.links.clear()

    def stop(self) -> None:
        """Cut every connection and take no more, like a phone that is switched off."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link = Link(self, self.listener.accept()[0])
                self.links.append(link)
                threading.Thread(target=link.serve, daemon=True).start()


def run(stream: Stream, command: str, environment: dict[str, str], *, framed: bool) -> None:
    """A command in a shell; ``framed`` keeps the streams apart and tells the exit status (shell v2)."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if framed else subprocess.STDOUT,
        cwd="/",
        env=environment,
        start_new_session=True,  # so that what it started can be ended with it
    )
    lock = threading.Lock()

    def forward(pipe: IO[bytes], kind: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            while content := os.read(pipe.fileno(), 1 << 16):
                with lock:
                    stream.write(struct.pack("<BI", kind, len(content)) + content if framed else content)

    threading.Thread(target=_feed, args=(stream, process, framed), daemon=True).start()
    pipes = [(process.stdout, STDOUT), (process.stderr, STDERR)]
    threads = [threading.Thread(target=forward, args=pair, daemon=True) for pair in pipes if pair[0] is not None]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    code = process.wait()
    if framed:
        stream.write(struct.pack("<BIB", EXIT, 1, code if code >= 0 else 128 - code))


def _feed(stream: Stream, process: subprocess.Popen[bytes], framed: bool) -> None:
    """Standard input as it comes; a connection that ends ends the command, as a terminal's hang-up does."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        while not framed and (content := stream.message()):
            process.stdin.write(content)
            process.stdin.flush()
        while framed:
            kind, length = struct.unpack("<BI", stream.read(5))
            content = stream.read(length)
            if kind == CLOSE_STDIN:
                process.stdin.close()
            elif kind == STDIN:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(content)
                    process.stdin.flush()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGHUP)


def sync(stream: Stream) -> None:
    """File transfer: requests of four letters, a length, and a path."""
    while True:
        request, length = struct.unpack("<4sI", stream.read(8))
        if request == b"QUIT":
            return
        path = stream.read(length).decode()
        if request == b"STAT":
            found = _stat(path)
            mode, size, changed = (found[3], found[7], found[9]) if found else (0, 0, 0)
            stream.write(struct.pack("<4s3I", b"STAT", mode, size, changed))
        elif request in {b"STA2", b"LST2"}:
            stream.write(struct.pack("<4sI2Q4IQ3q", request, *(_stat(path) or (2, *[0] * 10))))
        elif request == b"LIST":
            for entry in sorted(os.scandir(path), key=lambda each: each.name):
                about, name = entry.stat(), entry.name.encode()
                stream.write(
                    struct.pack("<4s4I", b"DENT", about.st_mode, about.st_size, int(about.st_mtime), len(name)) + name
                )
            stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))
        elif request == b"SEND":
            _receive_file(stream, *path.rsplit(",", 1))
        elif request == b"RECV":
            _send_file(stream, path)


def _stat(path: str) -> tuple[int, ...] | None:
    """Error, device, inode, mode, links, user, group, size and the three times."""
    try:
        about = Path(path).stat()
    except OSError:
        return None
    times = (int(about.st_atime), int(about.st_mtime), int(about.st_ctime))
    return (
        0,
        about.st_dev,
        about.st_ino,
        about.st_mode,
        about.st_nlink,
        about.st_uid,
        about.st_gid,
        about.st_size,
        *times,
    )


def _receive_file(stream: Stream, path: str, mode: str) -> None:
    failure, file = "", None
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = Path(path).open("wb")  # noqa: SIM115 - stays open over many messages
        if Path(path).is_file():  # not a device file
            Path(path).chmod(int(mode) & 0o777)
    except OSError as error:
        failure = f"couldn't create file: {error.strerror}"
    while True:
        kind, length = struct.unpack("<4sI", stream.read(8))
        if kind == b"DONE":
            break
        content = stream.read(length)
        try:
            if file is not None and not failure:
                file.write(content)
                file.flush()
        except OSError as error:
            failure = f"write failed: {error.strerror}"
    if file is not None:
        with contextlib.suppress(OSError):
            file.close()
    text = failure.encode()
    stream.write(struct.pack("<4sI", b"FAIL" if failure else b"OKAY", len(text)) + text)


def _send_file(stream: Stream, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            while content := file.read(1 << 16):
                stream.write(struct.pack("<4sI", b"DATA", len(content)) + content)
        stream.write(struct.pack("<4sI", b"DONE", 0))
    except OSError as error:
        text = f"open failed: {error.strerror}".encode()
        stream.write(struct.pack("<4sI", b"FAIL", len(text)) + text)


if __name__ == "__main__":
    AdbDaemon(int(sys.argv[1]), sys.argv[2])
    threading.Event().wait()
