"""An application whose every operation is numbered, and that knows what its files must hold: the history of a run.

Works in one directory, in a thread: small and large writes, appends, fsyncs, new files, renames (over others too),
unlinks, truncations, directories. After a crash each operation that returned must be there, the one in flight wholly,
in part (a write's first bytes) or not at all, and nothing else.
"""

import errno
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.history import Files, differences, stamped

_LARGEST_FILE = 1 << 20
_FILES = ("one", "two", "three", "four", "sub/five", "sub/six")


class NumberedWork:
    """Does operations until it is stopped or one fails."""

    def __init__(self, directory: Path, seed: str) -> None:
        """``directory`` is made by :meth:`begin`."""
        self.completed = 0
        """Operations that returned."""
        self.error: OSError | None = None
        self._directory = directory
        self._random = random.Random(seed)
        self._before: Files = {}
        """What was there before the operation in flight."""
        self._after: Files = {}
        """What is there once it has completed; the same as before while there is none."""
        self._open: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Starts, or goes on with what is there, in the directory at :attr:`directory`."""
        (self._directory / "sub").mkdir(parents=True, exist_ok=True)
        self.error = None
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Lets it end; no operation may hang."""
        self._stop.set()
        self.fail()

    def fail(self) -> None:
        """Returns when an operation has failed."""
        assert self._thread is not None
        self._thread.join(30.0)
        assert not self._thread.is_alive(), "an operation hangs"
        for file in self._open.values():
            try:
                os.close(file)
            except OSError as error:
                if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
                    raise
        self._open.clear()

    def wait(self, more: int, seconds: float = 30.0) -> None:
        """Returns when so many more operations have completed."""
        target, end = self.completed + more, time.monotonic() + seconds
        while self.completed < target:
            assert self.error is None, self.error
            assert time.monotonic() < end, f"only {self.completed} of {target} operations completed"
            time.sleep(0.002)

    def move_to(self, directory: Path) -> None:
        """It goes on there, with what it finds of the operation that was in flight."""
        self._before = self._after = found(directory)
        self._directory = directory

    def differences(self, copy: Path) -> list[str]:
        """What ``copy`` has that no crash at this moment explains; empty: every completed operation is in place."""
        return differences(found(copy), self._before, self._after)

    def progress(self, copy: Path) -> int:
        """How much of the operation in flight ``copy`` has: a number to be compared with another copy's."""
        there = found(copy)
        names = self._before.keys() | self._after.keys()
        return sum(_progress(there.get(name), self._before.get(name), self._after.get(name)) for name in names)

    # The thread

    def _run(self) -> None:
        kinds = [
            *[self._write_small] * 6,
            *[self._write_large] * 2,
            *[self._append, self._sync] * 2,
            *[self._rename, self._unlink, self._truncate, self._replace],
        ]
        try:
            while not self._stop.is_set():
                name = self._random.choice(_FILES)
                self._random.choice(kinds)(name)
                self.completed += 1
        except OSError as error:
            self.error = error

    def _do(self, changed: Files, act: Callable[[], object]) -> None:
        """``act`` makes what there is ``changed``."""
        self._after = changed
        act()
        self._before = changed

    def _with(self, name: str, content: bytes | None) -> Files:
        changed = dict(self._before)
        if content is None:
            changed.pop(name, None)
        else:
            changed[name] = content
        return changed

    def _file(self, name: str) -> int:
        """Open, and made when it is not there."""
        if name not in self._open:
            path = self._directory / name
            if name not in self._before:
                self._do(self._with(name, b""), lambda: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)))
            self._open[name] = os.open(path, os.O_RDWR)
        return self._open[name]

    def _close(self, name: str) -> None:
        file = self._open.pop(name, None)
        if file is not None:
            os.close(file)

    def _write(self, name: str, offset: int, length: int) -> None:
        file = self._file(name)
        data = stamped(self.completed + 1, length)
        old = self._before[name].ljust(offset, b"\0")
        changed = self._with(name, old[:offset] + data + old[offset + length :])

        def write() -> None:
            if os.pwrite(file, data, offset) < length:
                raise OSError(errno.EIO, "a part was written, and the rest refused")

        self._do(changed, write)

    def _write_small(self, name: str) -> None:
        self._write(name, self._random.randrange(64) * 1000, self._random.choice((16, 100, 1000, 4096)))

    def _write_large(self, name: str) -> None:
        self._write(name, self._random.randrange(4) * 65536, self._random.choice((65536, 200_000, 700_000)))

    def _append(self, name: str) -> None:
        self._file(name)
        if len(self._before[name]) < _LARGEST_FILE:
            self._write(name, len(self._before[name]), self._random.choice((50, 5000)))

    def _sync(self, name: str) -> None:
        os.fsync(self._file(name))

    def _truncate(self, name: str) -> None:
        file = self._file(name)
        size = self._random.choice((0, 100, 70_000))
        content = self._before[name][:size].ljust(size, b"\0")
        self._do(self._with(name, content), lambda: os.ftruncate(file, size))

    def _unlink(self, name: str) -> None:
        self._close(name)
        if name in self._before:
            self._do(self._with(name, None), lambda: os.unlink(self._directory / name))

    def _rename(self, name: str) -> None:
        new = self._random.choice(_FILES)
        if name not in self._before or new == name:
            return
        self._close(name)
        self._close(new)
        changed = self._with(name, None) | {new: self._before[name]}
        self._do(changed, lambda: os.rename(self._directory / name, self._directory / new))

    def _replace(self, name: str) -> None:
        """As careful applications save: a new file beside it, synced, then renamed over."""
        draft, data = "sub/draft", stamped(self.completed + 1, 20_000)
        self._write(draft, 0, len(data))
        os.fsync(self._file(draft))
        self._close(draft)
        self._close(name)
        changed = self._with(draft, None) | {name: self._before[draft]}
        self._do(changed, lambda: os.rename(self._directory / draft, self._directory / name))


def found(directory: Path) -> Files:
    """All files below ``directory``."""
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def _progress(content: bytes | None, old: bytes | None, new: bytes | None) -> int:
    if old == new:
        return 0
    if content == new:
        return 1 << 30
    if content is None or new is None or content == old:
        return 0
    return _common(content, new)


def _common(one: bytes, other: bytes) -> int:
    """How many first bytes are the same."""
    same, more = 0, min(len(one), len(other)) + 1
    while more - same > 1:
        middle = (same + more) // 2
        same, more = (middle, more) if one[:middle] == other[:middle] else (same, middle)
    return same
