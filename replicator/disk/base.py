"""Which joins and barriers a disk came through: ``.mirrorfarm/base`` of each replicated directory.

A disk notes the base (``replicator.core.bases``) of the last one that it came through, and of the one before; the
disks of a module count together. A list of what a copy lacks is of use for it only when the list's base is one of
these: so what is damaged counts as none, and costs a full compare. When a base is noted or cleared is not known here.

The file is written in its place and never grows, so that a disk which is full takes another base. It is smaller than a
sector, and has a checksum that holds in this very directory only (``birthmark``).
"""

import errno
import os
import re
from collections.abc import Sequence
from typing import Final

import xxhash

from replicator.core.bases import is_base
from replicator.disk.birthmark import birthmark

_FILE: Final = "base"
_NONE: Final = "-" * 16
"""In the place of a base."""
_LINE: Final = re.compile(r"(?P<bases>(?P<base>\S{16}) (?P<previous>\S{16})) (?P<checksum>[0-9a-f]{16})\n", re.ASCII)
_MAX_BYTES: Final = 256


def read_bases(private_fds: Sequence[int]) -> tuple[str, ...]:
    """The last base and the one before, as far as there are any, and as all directories have them.

    What one notes and another does not, the module as a whole did not come through.

    ``private_fds``: ``.mirrorfarm/`` of each directory of the module. Raises OSError.
    """
    first, *others = [_read(private) for private in private_fds]
    return tuple(base for base in first if all(base in other for other in others))


def _read(private: int) -> tuple[str, ...]:
    try:
        file = os.open(_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=private)
    except FileNotFoundError:
        return ()
    try:
        text = os.read(file, _MAX_BYTES).decode("latin-1")
    finally:
        os.close(file)
    line = _LINE.fullmatch(text)
    if line is None or line["checksum"] != _checksum(line["bases"], birthmark(private)):
        return ()
    return tuple(base for base in (line["base"], line["previous"]) if is_base(base))


def write_base(private_fds: Sequence[int], base: str, previous: str) -> None:
    """Notes the base of what these disks came through, and the one before (empty: none).

    It is on the disks when this returns. Raises OSError: some of them may have it.
    """
    if not is_base(base) or (previous and not is_base(previous)):
        raise ValueError(f"{base!r} after {previous!r}: not the bases of joins")
    for private in private_fds:
        file = os.open(_FILE, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=private)
        _write(file, f"{base} {previous or _NONE}", birthmark(private))
        os.fsync(private)


def advance_base(private_fds: Sequence[int], base: str) -> tuple[str, ...]:
    """Notes the base of a barrier, if these disks note any; what they note when this returns.

    Where none is noted the copy has gone on alone, or was never joined. Raises OSError: some of them may have it.
    """
    former = read_bases(private_fds)[:1]
    if former:
        write_base(private_fds, base, former[0])
    return (base, *former) if former else ()


def clear_base(private_fds: Sequence[int]) -> None:
    """These disks came through no join: so it is on them when this returns. Raises OSError: some may still say one."""
    for private in private_fds:
        try:
            file = os.open(_FILE, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=private)
        except FileNotFoundError:
            continue
        _write(file, f"{_NONE} {_NONE}", birthmark(private))


def _write(file: int, bases: str, mark: int) -> None:
    """Closes ``file``."""
    line = f"{bases} {_checksum(bases, mark)}\n".encode("ascii")
    try:
        if os.pwrite(file, line, 0) != len(line):
            raise OSError(errno.ENOSPC, "only a part of the base was written")
        os.ftruncate(file, len(line))
        os.fsync(file)
    finally:
        os.close(file)


def _checksum(bases: str, mark: int) -> str:
    return f"{xxhash.xxh3_64_intdigest(bases.encode('latin-1'), mark):016x}"
