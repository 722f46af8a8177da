"""What ``tests.support.recorded_work`` serves to clients: each has a file of numbered lines, written and read for it.

``python -m tests.support.recorded_server WORK`` serves them without the rest of that application.

A line in, a line out: ``write CLIENT N`` appends N, ``sync CLIENT N`` appends and syncs it, ``read CLIENT`` gives the
largest of the last numbers; answered ``ok N NODE RUN``, where NODE and RUN say who did it, or ``no ERRNO`` when it is
certain that it was not done. An error that leaves that open ends the program: one that goes on would hide it.
"""

import errno
import os
import socket
import sys
import threading
import traceback
from collections import defaultdict
from pathlib import Path

from tests.support.common_clock import now_ns

PORT = 7777
"""Of an application that was told no other one."""
SERVED = "served"
LINE_BYTES = 16
_LAST = 16
"""Numbers that a read looks at: some whose client did not wait for the answer may have come late, out of order."""
_REFUSED = (errno.ENOSPC, errno.EDQUOT)


class Lines:
    """One client's file."""

    def __init__(self, directory: Path, client: str) -> None:
        self._file = os.open(directory / client, os.O_RDWR | os.O_CREAT)
        parent = os.open(directory, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)
        # What a crash left of a last line is overwritten by the next one.
        self._end = len(numbers(os.pread(self._file, os.fstat(self._file).st_size, 0))) * LINE_BYTES

    def append(self, number: int) -> None:
        """Wholly, or OSError; then the next one takes its place."""
        line = b"%015d\n" % number
        written = os.pwrite(self._file, line, self._end)
        if written < len(line):
            raise OSError(errno.ENOSPC, "only a part was written")
        self._end += LINE_BYTES

    def sync(self) -> None:
        """To the disk."""
        os.fsync(self._file)

    def largest(self) -> int:
        """Of the last numbers, as the file has them; 0: there is none."""
        begin = max(0, self._end - _LAST * LINE_BYTES)
        return max(numbers(os.pread(self._file, self._end - begin, begin)), default=0)


def numbers(content: bytes) -> list[int]:
    """All that stand in a client's file, up to what is no whole line."""
    found = []
    for at in range(0, len(content) - LINE_BYTES + 1, LINE_BYTES):
        line = content[at : at + LINE_BYTES]
        if not line[:-1].isdigit() or line[-1:] != b"\n":
            break
        found.append(int(line))
    return found


class Server:
    """Takes any number of clients; those of one client go one after the other."""

    def __init__(self, work: Path, run: int) -> None:
        """``run`` names this start of the application."""
        self._directory = work / SERVED
        self._directory.mkdir(exist_ok=True)
        self._signature = f"{socket.gethostname()} {run}"
        self._lines: dict[str, Lines] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def serve(self, port: int = PORT) -> None:
        """For ever."""
        server = socket.create_server(("", port), backlog=256)
        while True:
            link, _ = server.accept()
            threading.Thread(target=self._talk, args=(link,), daemon=True).start()

    def _talk(self, link: socket.socket) -> None:
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with link, link.makefile("rb") as lines:
                for line in lines:
                    link.sendall(self._do(*line.decode().split()).encode() + b"\n")
        except ConnectionError:
            return  # The client has gone; it knows what it was told.
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _do(self, do: str, client: str, number: str = "0") -> str:
        with self._locks[client]:
            try:
                if client not in self._lines:
                    self._lines[client] = Lines(self._directory, client)
                if do != "read":
                    self._lines[client].append(int(number))
            except OSError as error:
                if error.errno in _REFUSED:
                    return f"no {error.errno}"
                raise
            if do == "sync":
                self._lines[client].sync()
            value = self._lines[client].largest() if do == "read" else int(number)
            return f"ok {value} {self._signature}"


def main() -> None:
    """As the module says."""
    work = Path(sys.argv[1])
    work.mkdir(exist_ok=True)
    Server(work, now_ns()).serve()


if __name__ == "__main__":
    main()
