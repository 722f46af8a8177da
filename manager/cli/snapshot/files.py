"""Files of this node for a snapshot: regular ones only, the end of those that are long, and no further than is asked.

A name that is a symbolic link, a pipe or a device is not followed and not opened for long: whoever may write into a
directory must not have another file taken along.
"""

import errno
import gzip
import os
import stat
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from manager.cli.snapshot.lacking import NotHad

_CHUNK_BYTES: Final = 1 << 20
_MOST_UNPACKED_BYTES: Final = 256 << 20
"""Of a file by gzip, that is looked through for its end."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a directory."""

    name: str
    path: str
    changed_s: float
    """Since the epoch."""
    size: int


def files_in(directory: str) -> list[Found]:
    """The regular files of ``directory``, the newest first. Raises OSError."""
    return sorted(_regular(directory), key=lambda f: (-f.changed_s, f.name))


def directories_in(directory: str) -> list[str]:
    """The names of those in ``directory``. Raises OSError."""
    with os.scandir(directory) as entries:
        return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))


def text_of(path: str, most_bytes: int, *, follow: bool = False) -> str:
    """What is in a file; ``follow``: it may be a symbolic link.

    Raises:
        NotHad: it is more than ``most_bytes``.
        OSError: it cannot be read.
    """
    with _opened(path, follow=follow) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise NotHad(f"{path} is larger than {most_bytes >> 10} KiB")
    return content.decode(errors="replace")


def end_of(path: str, most_bytes: int) -> tuple[str, bool]:
    """The last lines of a log, and whether that is all of it; of one by gzip (``.gz``) what was packed.

    Raises:
        NotHad: it is not whole.
        OSError: it cannot be read.
    """
    with _opened(path) as file:
        if path.endswith(".gz"):
            content, whole = _unpacked_end(file, path, most_bytes)
        else:
            size = os.fstat(file.fileno()).st_size
            whole = size <= most_bytes
            file.seek(max(0, size - most_bytes))
            content = file.read(most_bytes)
    if not whole:
        content = content[content.find(b"\n") + 1 :]
    return content.decode(errors="replace"), whole


def _regular(directory: str) -> Iterator[Found]:
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # rotated away meanwhile
            if stat.S_ISREG(status.st_mode):
                yield Found(entry.name, entry.path, status.st_mtime, status.st_size)


def _opened(path: str, *, follow: bool = False) -> IO[bytes]:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    file = open(os.open(path, flags), "rb")  # noqa: SIM115  whoever asks closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return file


def _unpacked_end(file: IO[bytes], path: str, most_bytes: int) -> tuple[bytes, bool]:
    chunks, kept, seen = deque[bytes](), 0, 0
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while (chunk := packed.read(_CHUNK_BYTES)) and seen <= _MOST_UNPACKED_BYTES:
                chunks.append(chunk)
                kept, seen = kept + len(chunk), seen + len(chunk)
                while kept - len(chunks[0]) >= most_bytes:
                    kept -= len(chunks.popleft())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise NotHad(f"{path} cannot be unpacked: {error}") from None
    content = b"".join(chunks)
    return content[-most_bytes:], seen <= most_bytes
