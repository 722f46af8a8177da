"""A syslog daemon as far as its clients see it: a datagram socket that somebody binds, reads and closes, or not."""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_LOOK_S = 0.05


class SyslogDaemon:
    """Listens from its beginning on, in the kernel: one that is not read is one that is frozen."""

    def __init__(self, path: Path) -> None:
        """As a daemon does, it takes the place of a former one."""
        self.path = str(path)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.path)

    def lines(self) -> list[str]:
        """What has come and was not read before."""
        found: list[str] = []
        while True:
            try:
                found.append(self._socket.recv(1 << 20).decode())
            except BlockingIOError:
                return found

    @contextlib.contextmanager
    def reading(self) -> Iterator[list[str]]:
        """All that comes while the context lasts, as it comes: the kernel keeps ten lines for who does not read."""
        said, over = list[str](), threading.Event()

        def read() -> None:
            while not over.is_set():
                select.select([self._socket], [], [], _LOOK_S)
                said.extend(self.lines())

        with ThreadPoolExecutor(1) as threads:
            reader = threads.submit(read)
            try:
                yield said
            finally:
                over.set()
                reader.result()

    def kill(self) -> None:
        """It ends, and leaves its path behind."""
        self._socket.close()

    def stop(self) -> None:
        """It ends in order."""
        self.kill()
        os.unlink(self.path)
