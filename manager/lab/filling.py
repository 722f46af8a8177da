"""A node's /srv runs full, and has room again: one file takes all that is left of it.

It knows nothing of what is mirrored: the file lies beside the directories that are.
"""

import errno
import os

from manager.lab.errors import LabError
from manager.lab.machine import RunningMachine

FILE = "lab-fill"
_SMALLEST_BYTES = 4096


def fill(machine: RunningMachine, leave_bytes: int = 0) -> None:
    """Take all of its /srv but ``leave_bytes``, what is kept for root included.

    Raises:
        LabError: it is down, or has no /srv of its own.
    """
    try:
        file = os.open(_place(machine), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(file, leave_bytes)
        finally:
            os.close(file)
    except OSError as error:
        raise LabError(f"filling /srv of {machine.name}: {error.strerror}") from None


def free(machine: RunningMachine) -> None:
    """Give it back.

    Raises:
        LabError: the machine is down, or it was not filled.
    """
    try:
        os.unlink(_place(machine))
    except OSError as error:
        raise LabError(f"/srv of {machine.name} was not filled: {error.strerror}") from None


def is_full(machine: RunningMachine) -> bool:
    """Whether it was filled, and not freed since; one that is down: no."""
    return machine.is_up and os.path.exists(_place(machine))


def _place(machine: RunningMachine) -> str:
    if machine.machine.file_system is None:
        raise LabError(f"{machine.name} has no /srv of its own: only nodes have")
    return f"/proc/{machine.pid}/root/srv/{FILE}"


def _take(file: int, leave_bytes: int) -> None:
    """Piece by piece: a file system has not all that it counts as free, nor in one piece."""
    piece_bytes, taken_bytes = 1 << 62, os.fstat(file).st_size
    while True:
        state = os.fstatvfs(file)
        # In blocks, so that it ends; f_bfree is what root may take.
        left_bytes = state.f_bfree * state.f_frsize - leave_bytes
        piece_bytes = min(piece_bytes, left_bytes) // _SMALLEST_BYTES * _SMALLEST_BYTES
        if piece_bytes <= 0:
            return
        try:
            os.posix_fallocate(file, taken_bytes, piece_bytes)
            taken_bytes += piece_bytes
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            piece_bytes //= 2
