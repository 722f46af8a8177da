"""The file of a snapshot: a tar file by gzip, for its owner alone, there whole or not at all.

It is written beside its place under another name, and gets its own when it is on the disk; a file that is there is
never replaced. It does not know what is in it.
"""

import contextlib
import errno
import gzip
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from manager.model.errors import ConfigError

_MODE: Final = 0o600
_LEVEL: Final = 6
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""Of a file system that has none, as vfat."""


class Archive:
    """Takes files by their names; a context manager. What it is given to write to stays open."""

    def __init__(self, file: IO[bytes], folder: str) -> None:
        """All of it is below ``folder``."""
        self._folder = folder
        self._now = int(time.time())
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=self._now)
        self._tar = tarfile.TarFile(fileobj=self._gzip, mode="w")

    def put(self, name: str, content: bytes) -> None:
        """A file; what is cut short behind it has it. Raises OSError."""
        member = tarfile.TarInfo(f"{self._folder}/{name}")
        member.size, member.mode, member.mtime = len(content), _MODE, self._now
        self._tar.addfile(member, io.BytesIO(content))
        self._gzip.flush()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes its end; not where something has gone wrong, which would be that of a whole one. Raises OSError."""
        if error is None:
            self._tar.close()
            self._gzip.close()
        self._gzip.fileobj = None  # type: ignore[assignment]  # Else it would write when it is forgotten.


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which stands at ``path`` when this has ended well; else nothing of it is left.

    Raises:
        ConfigError: something is there already, or it cannot be written; in words for people.
    """
    if os.path.lexists(path):
        raise _there_already(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    except OSError as error:
        raise _unwritten(path, error) from None
    try:
        try:
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _give_name(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except FileExistsError:
        raise _there_already(path) from None
    except OSError as error:
        raise _unwritten(path, error) from None


def _give_name(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)  # which replaces nothing, as a rename would
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError from None
        partial.rename(path)


def _there_already(path: Path) -> ConfigError:
    return ConfigError(f"{path} is there already, and is left as it is. Name another file: --output FILE")


def _unwritten(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} could not be written: {error.strerror or error}. Nothing of it is left. Name a file where there is "
        "room: --output FILE"
    )
