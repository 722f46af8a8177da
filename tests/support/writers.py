"""A writer that remembers what it was told is done: the history that a crash is judged by."""

import contextlib
import os
import struct
import threading
import time
from pathlib import Path
from types import TracebackType

RECORD = 4096
_HELD_S = 10.0
"""Within this what was answered has returned, on a busy machine too, and the next block is asked for."""
_HEAD = struct.Struct("<QQ")


def record(number: int) -> bytes:
    """The block with this number; every byte of it says so."""
    return _HEAD.pack(number, number ^ 0x5A5A5A5A) * (RECORD // _HEAD.size)


class Writer:
    """Writes numbered blocks to a file, one after the other, in a thread, until it is stopped or fails."""

    def __init__(self, path: Path, fsync: bool = False, pause_s: float = 0.0, blocks: int = 512) -> None:
        """Block ``number`` goes to place ``number % blocks``, so that the file stays small and is overwritten."""
        self.completed = -1
        """The last block of which the write, and the fsync if asked, has returned."""
        self.error: OSError | None = None
        self._blocks = blocks
        self._fsync = fsync
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if kind is None:
            self.stop()

    def stop(self) -> None:
        """Lets it end; it must not hang in a write."""
        self._stop.set()
        self._thread.join(15.0)
        assert not self._thread.is_alive(), "the writer hangs"
        if self._file >= 0:
            try:
                os.close(self._file)
            except OSError as error:
                self.error = self.error or error
            self._file = -1

    def wait(self, more: int, seconds: float = 15.0) -> None:
        """Returns when so many more blocks have completed."""
        target, end = self.completed + more, time.monotonic() + seconds
        while self.completed < target:
            assert self.error is None, self.error
            assert time.monotonic() < end, f"only {self.completed} of {target} blocks completed"
            time.sleep(0.002)

    def stands_still(self, seconds: float = 0.3) -> bool:
        """Whether nothing completes for so long, of a block for which its thread waits in the kernel."""
        end = time.monotonic() + _HELD_S
        while not self._waits():
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        before = self.completed
        time.sleep(seconds)
        return self._waits() and self.completed == before

    def _waits(self) -> bool:
        """Nobody has answered its request: a thread that was, and is not run yet, waits for nothing."""
        with contextlib.suppress(FileNotFoundError):
            return "request_wait" in Path(f"/proc/self/task/{self._thread.native_id}/wchan").read_text()
        return False

    def _run(self) -> None:
        number = 0
        try:
            while not self._stop.is_set():
                os.pwrite(self._file, record(number), number % self._blocks * RECORD)
                if self._fsync:
                    os.fsync(self._file)
                self.completed = number
                number += 1
                if self._pause_s:
                    time.sleep(self._pause_s)
        except OSError as error:
            self.error = error

    def missing_in(self, copy: Path) -> list[int]:
        """The completed blocks that ``copy`` lacks. A block that was overwritten by the one in flight is there."""
        text = copy.read_bytes()
        missing = []
        for number in range(max(0, self.completed - self._blocks + 1), self.completed + 1):
            place = number % self._blocks * RECORD
            found = text[place : place + RECORD]
            in_flight = self.completed + 1
            allowed = {record(number)} | (
                {record(in_flight)} if in_flight % self._blocks == number % self._blocks else set()
            )
            if found not in allowed:
                missing.append(number)
        return missing
