"""Another node's part of a snapshot, as it came, into the file: bounded, and nothing that does not belong there.

What comes is another agent's word: a name that leads elsewhere, a link, what would unpack to no end, what is cut short
ends it there, and that is said. What came before stays.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

from manager.cli.snapshot import keys
from manager.cli.snapshot.archive import Archive
from manager.cli.snapshot.collector import LACKING
from manager.cli.snapshot.lacking import Lacking, NotHad, lacking_of
from manager.cli.snapshot.node import NODES
from manager.cli.snapshot.summary import FILE

MOST_BYTES: Final = 256 << 20
"""Of a node's part, unpacked."""
REST: Final = "the rest"


def merge(file: IO[bytes], node: str, archive: Archive) -> list[Lacking]:
    """Puts what ``file`` has of ``node`` into ``archive``; what is lacking, by its own word and by what is found.

    Raises:
        OSError: the archive cannot be written.
    """
    lacking = list[Lacking]()
    try:
        for name, content in _files(file, node):
            if name == f"{NODES}/{node}/{LACKING}":
                lacking += lacking_of(content)
            archive.put(name, content)
    except NotHad as lack:
        lacking.append(Lacking(REST, str(lack)))
    return lacking


def _files(file: IO[bytes], node: str) -> Iterator[tuple[str, bytes]]:
    """Each with its name below the folder. Raises NotHad."""
    try:
        with gzip.GzipFile(fileobj=file) as unpacked, tarfile.open(fileobj=_Bounded(unpacked), mode="r|") as tar:
            for member in tar:
                name = member.name.partition("/")[2]
                content = tar.extractfile(member) if member.isreg() and _belongs(name, node) else None
                if content is None:
                    raise NotHad(f"{member.name!r} does not belong there")
                if name != FILE:  # That node's own; what could not be had there is told in this one's.
                    yield name, content.read()
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, ValueError) as error:
        raise NotHad(f"what came is not whole: {error}") from None


def _belongs(name: str, node: str) -> bool:
    parts = name.split("/")
    is_plain = name.isprintable() and all(part not in ("", ".", "..") for part in parts)
    return is_plain and (name in (keys.FILE, FILE) or parts[:2] == [NODES, node])


class _Bounded(io.RawIOBase):
    """A file to be read that ends with an error when there is too much of it."""

    def __init__(self, file: gzip.GzipFile) -> None:
        super().__init__()
        self._file = file
        self._left = MOST_BYTES

    def read(self, size: int = -1, /) -> bytes:
        """As of any file. Raises NotHad."""
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise NotHad(f"it unpacks to more than {MOST_BYTES >> 20} MiB")
        return content
