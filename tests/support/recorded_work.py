"""An application that works on a mirror and writes its history down outside of it: runs inside a node of the lab.

``python -m tests.support.recorded_work WORK RECORDS PORT PAUSE_MS``: its files are below WORK, and each start makes a
directory of its own below RECORDS. What is recorded is described in ``tests.support.history``. It ends when an
operation fails, and serves clients, too (``tests.support.recorded_server``).
"""

import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.support.common_clock import now_ns
from tests.support.history import SLOT_BYTES, Operation, stamped
from tests.support.recorded_server import Server

_LARGEST_FILE = 1 << 20
_NAMES = ("one", "two", "three", "four", "five")
_SLOTS = 64
_KEPT_FILES = 40
_LARGE = 600_000


class Worker:
    """Does operations in a directory of its own, one at a time, until one fails."""

    def __init__(self, work: Path, records: Path, name: str) -> None:
        self._directory = work / name
        self._directory.mkdir(parents=True, exist_ok=True)
        self._random = random.Random()
        self._sizes: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._number = now_ns()
        """Larger than those of the starts before."""
        kept = records / name
        kept.mkdir()
        for path in self._directory.iterdir():
            shutil.copyfile(path, kept / path.name)
            self._sizes[path.name] = path.stat().st_size
        self._log = os.open(records / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._say({"found": sorted(self._sizes)})

    def run(self, turn: Callable[["Worker"], None], pause_s: float) -> None:
        """Ends the program when an operation fails: an application that goes on would hide it."""
        try:
            while True:
                turn(self)
                time.sleep(pause_s)
        except OSError as error:
            print(f"{self._directory.name}: {error}", flush=True)
            os._exit(1)

    def _say(self, entry: dict[str, object]) -> None:
        os.write(self._log, json.dumps(entry).encode() + b"\n")

    def _do(
        self, do: str, name: str, act: Callable[[Operation], object], at: int = 0, length: int = 0, new: str = ""
    ) -> None:
        self._number += 1
        operation = Operation(self._number, do, name, now_ns(), at, length, new)
        self._say({k: v for k, v in asdict(operation).items() if k not in ("ended_ns", "errno")})
        try:
            act(operation)
        except OSError as error:
            self._say({"number": operation.number, "ended_ns": now_ns(), "errno": error.errno})
            raise
        self._say({"number": operation.number, "ended_ns": now_ns()})

    # Operations

    def _file(self, name: str) -> int:
        path = self._directory / name
        if name not in self._sizes:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
            self._do("create", name, lambda _: self._open.__setitem__(name, os.open(path, flags)))
            self._sizes[name] = 0
        if name not in self._open:
            self._open[name] = os.open(path, os.O_RDWR)
        return self._open[name]

    def _close(self, name: str) -> None:
        file = self._open.pop(name, None)
        if file is not None:
            os.close(file)

    def write(self, name: str, at: int, length: int) -> None:
        file = self._file(name)

        def act(operation: Operation) -> None:
            written = os.pwrite(file, stamped(operation.number, length), at)
            if written < length:
                raise OSError(5, f"{written} of {length} bytes were written")

        self._do("write", name, act, at, length)
        self._sizes[name] = max(self._sizes[name], at + length)

    def fsync(self, name: str) -> None:
        file = os.open(self._directory, os.O_RDONLY) if name == "." else self._file(name)
        self._do("fsync", name, lambda _: os.fsync(file))
        if name == ".":
            os.close(file)

    def truncate(self, name: str, length: int) -> None:
        file = self._file(name)
        self._do("truncate", name, lambda _: os.ftruncate(file, length), length=length)
        self._sizes[name] = length

    def unlink(self, name: str) -> None:
        if name in self._sizes:
            self._close(name)
            self._do("unlink", name, lambda _: os.unlink(self._directory / name))
            del self._sizes[name]

    def rename(self, name: str, new: str) -> None:
        if name not in self._sizes or new == name:
            return
        self._close(name)
        self._close(new)
        self._do("rename", name, lambda _: os.rename(self._directory / name, self._directory / new), new=new)
        self._sizes[new] = self._sizes.pop(name)

    # What each worker does in one turn

    def mixed(self) -> None:
        """Writes of several sizes, appends, truncations, names: as anything but careful."""
        name, chance = self._random.choice(_NAMES), self._random.randrange(16)
        if chance < 6:
            self.write(name, self._random.randrange(64) * 1000, self._random.choice((16, 100, 1000, 4096)))
        elif chance < 8:
            self.write(name, self._random.randrange(4) * 65536, self._random.choice((65536, _LARGE)))
        elif chance < 10 and self._sizes.get(name, 0) < _LARGEST_FILE:
            self.write(name, self._sizes.get(name, 0), self._random.choice((50, 5000)))
        elif chance < 12:
            self.fsync(name)
        elif chance < 13:
            self.truncate(name, self._random.choice((0, 100, 70_000)))
        elif chance < 14:
            self.unlink(name)
        elif chance < 15:
            self.rename(name, self._random.choice(_NAMES))
        else:
            self.write("draft", 0, 20_000)
            self.fsync("draft")
            self.rename("draft", name)

    def slots(self) -> None:
        """Records overwritten in place, synced now and then."""
        self.write("slots", self._random.randrange(_SLOTS) * 8 * SLOT_BYTES, SLOT_BYTES)
        if self._random.randrange(4) == 0:
            self.fsync("slots")

    def files(self) -> None:
        """New files, each synced with its name; the oldest go."""
        name = f"f{self._number}"
        self.write(name, 0, self._random.choice((10, 3000, 40_000)))
        self.fsync(name)
        self._close(name)
        self.fsync(".")
        if len(self._sizes) > _KEPT_FILES:
            self.unlink(min(self._sizes))


WORKERS: dict[str, Callable[[Worker], None]] = {
    "mixed1": Worker.mixed, "mixed2": Worker.mixed, "slots": Worker.slots, "files": Worker.files,
}  # fmt: skip


def main() -> None:
    """As the module says."""
    started_ns = now_ns()
    work, records = Path(sys.argv[1]), Path(sys.argv[2]) / str(started_ns)
    port, pause_ms = map(int, sys.argv[3:])
    records.mkdir(parents=True)
    work.mkdir(exist_ok=True)
    server = Server(work, started_ns)
    for name, turn in WORKERS.items():
        worker = Worker(work, records, name)
        threading.Thread(target=worker.run, args=(turn, pause_ms / 1000), daemon=True).start()
    server.serve(port)


if __name__ == "__main__":
    main()
