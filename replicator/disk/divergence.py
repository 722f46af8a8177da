"""The mark that this disk's copy went on without the primary's, and that what differs is yet to be set aside (S12).

``.mirrorfarm/diverged`` is on the disk before the epoch of the other copy is noted, and goes when everything that
differs is kept: while it is there the disk vouches for nothing (S8), and nothing of the copy may be changed. It is a
symbolic link that leads nowhere: made and gone as a whole, and a full disk has room for it.
"""

import contextlib
import errno
import os
import re
import threading
from dataclasses import dataclass
from typing import Final

MARKER: Final = "diverged"
changing: Final = threading.Lock()
"""To be held while the marks of a module's disks are looked at and put there, or are taken away: all, or none.

An attempt may come to its end while this node is told whom to follow next.
"""
_TEXT: Final = re.compile(r"epoch-(\d{1,19})-aside-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Divergence:
    """What the mark says."""

    node_epoch: int
    """The last one that this copy took part in by itself; 0: none is known."""
    number: int
    """Of the aside that what differs goes to. One of that number is not whole before the mark is gone."""


def is_diverged(private: int) -> bool:
    """Whether the disk of this ``.mirrorfarm/`` has something that is to be set aside first. Raises OSError."""
    try:
        os.stat(MARKER, dir_fd=private, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def read_divergence(private: int) -> Divergence | None:
    """What the mark says; ``None`` without one. Raises OSError (EUCLEAN: it is none of ours)."""
    try:
        text = os.readlink(MARKER, dir_fd=private)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # no symbolic link
            raise OSError(errno.EUCLEAN, f"{MARKER} is damaged") from None
        raise
    match = _TEXT.fullmatch(text)
    if match is None or not int(match.group(2)):
        raise OSError(errno.EUCLEAN, f"{MARKER} is damaged")
    return Divergence(int(match.group(1)), int(match.group(2)))


def mark_diverged(private: int, divergence: Divergence) -> None:
    """Puts the mark on the disk; one that is there stays as it is. It is there when this returns. Raises OSError."""
    if not is_diverged(private):
        os.symlink(f"epoch-{divergence.node_epoch}-aside-{divergence.number}", MARKER, dir_fd=private)
    os.fsync(private)


def unmark_diverged(private: int) -> None:
    """Takes the mark away, on the disk. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(MARKER, dir_fd=private)
    os.fsync(private)  # where none is there, too: an unlink before may not have come to the disk
