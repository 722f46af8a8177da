"""This node's log files of a module: which there are, their ends, and what is added to them."""

import asyncio
import codecs
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiofiles
import aiofiles.os
from aiofiles.threadpool.binary import AsyncFileIO

MAX_TAIL_BYTES = 1 << 20
"""No more than so much of a file's end is sent, however many lines are asked for."""

CHUNK_BYTES = 1 << 16
POLL_S = 0.3
REPLICATOR_LOG = "replicator.log"

_LAST_WORDS_BYTES = 16 << 10
_GRAVE = ("error", "critical")

_SCRIPT_LOG = re.compile(r"(?P<script>.+)\.(?P<run>[0-9]+)\.log\Z")

_Decoder = codecs.getincrementaldecoder("utf-8")
"""Keeps the begin of a character whose rest has not come yet."""

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
    file = await _open(path)
    try:
        await file.seek(await _begin_of_last(file, lines))
        decoder = _Decoder("replace")
        while True:
            data = await file.read(CHUNK_BYTES)
            if data:
                if text := decoder.decode(data):
                    await send(text)
            elif successor := await _successor(path, file):
                await file.close()
                file, decoder = successor, _Decoder("replace")
            elif not follow:
                return
            else:
                await asyncio.sleep(POLL_S)
    finally:
        await file.close()


async def _open(path: str) -> AsyncFileIO:
    # Unbuffered: its place is that of the last byte read.
    return await aiofiles.open(path, "rb", buffering=0)


async def _successor(path: str, file: AsyncFileIO) -> AsyncFileIO | None:
    """The file to which the path leads by now, or the same one when it was truncated; ``None``: neither."""
    try:
        named = await aiofiles.os.stat(path)
    except FileNotFoundError:
        return None
    mine = os.fstat(file.fileno())
    is_other = (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino)
    return await _open(path) if is_other or mine.st_size < await file.tell() else None


async def _begin_of_last(file: AsyncFileIO, lines: int) -> int:
    size = os.fstat(file.fileno()).st_size
    start = max(0, size - MAX_TAIL_BYTES)
    await file.seek(start)
    tail = await file.read(size - start)
    at = len(tail.removesuffix(b"\n"))
    for _ in range(lines):
        at = tail.rfind(b"\n", 0, at)
        if at < 0:
            # Not so many: all of it, but no half line where the tail was cut.
            return start + (tail.find(b"\n") + 1 if start else 0)
    return start + at + 1
