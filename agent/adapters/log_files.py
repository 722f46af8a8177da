"""This node's log files of a module: which there are, their ends, and what is added to them."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MAX_TAIL_BYTES = 1 << 20
"""No more than so much of a file's end is sent, however many lines are asked for."""

CHUNK_BYTES = 1 << 16
POLL_S = 0.3
REPLICATOR_LOG = "replicator.log"

_LAST_WORDS_BYTES = 16 << 10
_GRAVE = ("error", "critical")

_SCRIPT_LOG = re.compile(r"(?P<script>.+)\.(?P<run>[0-9]+)\.log\Z")

Send = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LogFiles:
    """The logs below ``directory``: ``<module>/replicator.log`` and ``<module>/<script>.<n>.log``."""

    directory: str

    def replicator(self, module: str) -> str:
        """The path of the replicator's log; the file may not be there."""
        return os.path.join(self.directory, module, REPLICATOR_LOG)

    def scripts(self, module: str) -> dict[str, str]:
        """Each script that has logs, to the path of its newest one."""
        newest: dict[str, tuple[float, str]] = {}
        try:
            entries = list(os.scandir(os.path.join(self.directory, module)))
        except OSError:
            return {}
        for entry in entries:
            match = _SCRIPT_LOG.match(entry.name)
            if match is None:
                continue
            try:
                age = entry.stat().st_mtime
            except OSError:
                continue  # rotated away meanwhile
            if (age, entry.path) > newest.get(match["script"], (0.0, "")):
                newest[match["script"]] = (age, entry.path)
        return {script: path for script, (_, path) in sorted(newest.items())}


def last_error(path: str) -> str:
    """What the last entry of a log of ours says, when it is an error; else empty, as for a log that is not there.

    It reads a few KiB, and does not wait for anything but the disk.
    """
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_WORDS_BYTES))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        entry = json.loads(last)
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(entry, dict) or entry.get("level") not in _GRAVE:
        return ""
    return str(entry.get("error") or entry.get("event") or "")


async def send_log(path: str, lines: int, send: Send, *, follow: bool) -> None:
    """Send the last ``lines`` of ``path``, and with ``follow`` what is added, until cancelled.

    A file that is rotated away or truncated is followed into its successor.

    Raises:
        OSError: it cannot be read.
    """
    file = await asyncio.to_thread(_Follower, path, lines)
    try:
        while True:
            text = await asyncio.to_thread(file.more)
            if text:
                await send(text)
            elif not follow:
                return
            else:
                await asyncio.sleep(POLL_S)
    finally:
        file.close()


class _Follower:
    """Reads a file on from where its last lines begin."""

    def __init__(self, path: str, lines: int) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._at = _begin_of_last(self._file, lines)
        self._cut = b""
        """The first bytes of a character whose rest has not come yet."""

    def more(self) -> str:
        """What comes next; empty: nothing for now."""
        data = os.pread(self._file, CHUNK_BYTES, self._at)
        if not data and self._renewed():
            data = os.pread(self._file, CHUNK_BYTES, self._at)
        self._at += len(data)
        whole, self._cut = _whole_characters(self._cut + data)
        return whole.decode("utf-8", "replace")

    def close(self) -> None:
        os.close(self._file)

    def _renewed(self) -> bool:
        """Whether the path leads to another file, or to one that was truncated: it is read from its begin."""
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self._file)
        if (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino):
            successor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            os.close(self._file)
            self._file = successor
        elif mine.st_size >= self._at:
            return False
        self._at, self._cut = 0, b""
        return True


def _begin_of_last(file: int, lines: int) -> int:
    size = os.fstat(file).st_size
    start = max(0, size - MAX_TAIL_BYTES)
    tail = os.pread(file, size - start, start)
    at = len(tail.removesuffix(b"\n"))
    for _ in range(lines):
        at = tail.rfind(b"\n", 0, at)
        if at < 0:
            # Not so many: all of it, but no half line where the tail was cut.
            return start + (tail.find(b"\n") + 1 if start else 0)
    return start + at + 1


def _whole_characters(data: bytes) -> tuple[bytes, bytes]:
    """``data`` up to a UTF-8 character that is not complete yet, and that one's begin."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return (data[:-back], data[-back:]) if back < length else (data, b"")
        if byte < 0x80:
            break
    return data, b""
