"""The last words of processes whose parent has ended: with which status they ended themselves.

A script that starts an application ends, and what it has started has no parent any more. Such processes come to this
one (PR_SET_CHILD_SUBREAPER, prctl(2)), and have to be waited for here, or they stay as zombies; what this process has
started itself is waited for by whoever started it. An agent that takes over what a former one has started is nobody's
parent: those come to init, and their status is not known.
"""

import contextlib
import ctypes
import os
from collections.abc import Container
from dataclasses import dataclass, replace

from agent.adapters.cgroups import own_path, parse_stat
from agent.adapters.signal_names import signal_name
from manager import mountinfo
from manager.model.errors import DefiniteFailure

_PR_SET_CHILD_SUBREAPER = 36
"""include/uapi/linux/prctl.h"""
_LOOKS = 3
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended, and has been waited for."""

    pid: int
    name: str
    started_ticks: int
    """Of two, the one with the lower number is the older one (proc_pid_stat(5))."""
    exit_code: int
    """Negative: the signal that ended it."""

    @property
    def how(self) -> str:
        """In words: ``with exit status 1``."""
        if self.exit_code >= 0:
            return f"with exit status {self.exit_code}"
        return f"by signal {-self.exit_code} ({signal_name(-self.exit_code)})"


def adopt_orphans(*, on: bool = True) -> bool:
    """Be the next parent of what loses its own among this process's descendants; whether that came about.

    Not where the kernel does not list a process's children (CONFIG_PROC_CHILDREN): they could not be found.
    """
    if not os.path.exists(_children()):
        return False
    return int(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)) == 0


class LongDead:
    """Waits for the orphans that nobody asks for: seen dead at several looks, they are no child of a caller's here."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], int] = {}

    def look(self) -> None:
        """To be called every few seconds."""
        dead = {(one.pid, one.started_ticks): one for pid in _pids() if (one := _dead(pid)) is not None}
        self._seen = {key: self._seen.get(key, 0) + 1 for key in dead}
        for (pid, _), times in self._seen.items():
            if times >= _LOOKS:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def reap(cgroup: str, besides: Container[int]) -> list[Ended]:
    """Wait for the orphans of ``cgroup`` (a directory, and what is below it) that have ended; never blocks.

    ``besides``: pids of what others wait for.
    """
    return [ended for pid in _pids() if pid not in besides and (ended := _reap_one(pid, cgroup)) is not None]


def _reap_one(pid: int, cgroup: str) -> Ended | None:
    """``None``: it lives, it is another's, or it has been waited for meanwhile."""
    dead = _dead(pid)
    try:
        if dead is None or not _was_in(pid, cgroup):
            return None
        found, status = os.waitpid(pid, os.WNOHANG)
    except (FileNotFoundError, ProcessLookupError, ChildProcessError, DefiniteFailure):
        return None
    return replace(dead, exit_code=os.waitstatus_to_exitcode(status)) if found else None


def _dead(pid: int) -> Ended | None:
    """A child that has ended and was not waited for, with no exit code yet; ``None``: it lives, or is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, state, started = parse_stat(file.read())
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return Ended(pid, name, started, 0) if state == "Z" else None


def _pids() -> list[int]:
    try:
        with open(_children(), encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def _was_in(pid: int, cgroup: str) -> bool:
    """A zombie is still said to be of the cgroup in which it ended."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        own = file.read()
    directory = own_path(mountinfo.read(), own).removesuffix(_DELETED)
    return directory == cgroup or directory.startswith(f"{cgroup}/")


def _children() -> str:
    # Orphans come to the first thread, whichever of them their ancestors were started by.
    return f"/proc/self/task/{os.getpid()}/children"
