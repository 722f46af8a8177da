"""Control groups: a module's processes in one place, which none of them can leave by forking (cgroup2).

Where they are: ``<agent's own cgroup>/mirrorfarm/<module>/app`` and ``.../replicator``.
"""

import asyncio
import contextlib
import errno
import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from manager import mountinfo
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.mountinfo import Mount

SHELL = "/bin/sh"
NOT_ENTERED = 125
"""Exit code of a command line of :meth:`Cgroup.entering` that did not get into the cgroup."""
_ENTER = (
    # 0 is the process that writes. The OOM killer's favour for the agent is not for what it starts.
    f'echo 0 > "$1/cgroup.procs" || exit {NOT_ENTERED}; '
    '{ echo 0 > /proc/self/oom_score_adj; } 2>/dev/null; shift; exec "$@"'
)
_NOT_THERE = (errno.ENOENT, errno.ENODEV)
"""Of a cgroup that was never made, or that was removed while its file was open."""
_FIRST_LOOK_S = 0.005
_LONGEST_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """A process as ``/proc`` shows it (proc_pid_stat(5))."""

    pid: int
    name: str
    state: str
    """One letter; ``D``: in the kernel, and not to be interrupted."""
    started_ticks: int
    """Clock ticks from the machine's start to its own: with the pid, it names one process for ever."""
    command: str


class ProcessesLeft(IndefiniteFailure):
    """Processes were sent SIGKILL and are still there: they hang in the kernel, and die as soon as they return."""

    def __init__(self, cgroup: str, processes: list[Process]) -> None:
        """``processes``: those that are left."""
        listed = ", ".join(f"{p.pid} {p.name} ({p.state})" for p in processes)
        super().__init__(f"killed, but not gone from {cgroup}: {listed or 'unknown processes'}")
        self.processes = tuple(processes)


def parse_stat(text: str) -> tuple[str, str, int]:
    """Name, state and start in clock ticks from a process's ``stat``; the name may hold anything, brackets too.

    Raises:
        ValueError: it is not such a text.
    """
    name, closed, rest = text[text.index("(") + 1 :].rpartition(")")
    fields = rest.split()
    if not closed or len(fields) < 20:
        raise ValueError("not a stat of a process")
    return name, fields[0], int(fields[19])


def read_process(pid: int) -> Process | None:
    """The process ``pid``; ``None`` when it is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, state, started = parse_stat(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read(4096).replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return None if state in "ZX" else Process(pid, name, state, started, command)


def reads_pipe(pid: int) -> bool:
    """Whether a process has its standard input from a pipe without a name; not when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/fd/0").startswith("pipe:")
    except OSError:
        return False


def own_path(mounts: Iterable[Mount], own_cgroup: str) -> str:
    """The directory of a process's own cgroup2, from its ``mounts`` and the text of its ``cgroup``.

    Raises:
        DefiniteFailure: cgroup2 is not mounted, or not the part with that cgroup.
    """
    name = next((line[3:] for line in own_cgroup.splitlines() if line.startswith("0::")), None)
    if name is None:
        raise DefiniteFailure("this process is in no cgroup2: the kernel is too old, or cgroups are off")
    for mount in mounts:
        inside = posixpath.relpath(name, mount.root)
        if mount.kind == "cgroup2" and not inside.startswith(".."):
            return posixpath.normpath(posixpath.join(mount.point, inside))
    raise DefiniteFailure(f"cgroup2 is not mounted where {name} could be found (mount -t cgroup2 none DIR)")


def own_directory() -> str:
    """The directory of this process's own cgroup.

    Raises:
        DefiniteFailure: there is none.
    """
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return own_path(mountinfo.read(), file.read())


def unified_mount() -> str:
    """Where cgroup2 is mounted.

    Raises:
        DefiniteFailure: nowhere.
    """
    return own_path(mountinfo.read(), "0::/")


def module_cgroup(module: str, part: str, base: str | None = None) -> "Cgroup":
    """The cgroup of ``part`` (``app``, ``replicator``) of ``module``; ``base``: instead of this process's own.

    Raises:
        DefiniteFailure: there is no cgroup2.
    """
    return Cgroup(posixpath.join(base or own_directory(), "mirrorfarm", module, part))


class Cgroup:
    """One cgroup, by its directory."""

    def __init__(self, directory: str) -> None:
        """It need not be there yet."""
        self.directory = directory

    def make(self) -> None:
        """Make it, with those above it.

        Raises:
            DefiniteFailure: it cannot be made, or this kernel cannot kill a cgroup (before 5.14).
        """
        try:
            os.makedirs(self.directory, exist_ok=True)
        except OSError as error:
            raise DefiniteFailure(f"making the cgroup: {error}") from None
        if not os.path.exists(self._file("cgroup.kill")):
            raise DefiniteFailure(f"{self.directory} has no cgroup.kill: Linux 5.14 or newer is needed")

    def entering(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The command line that runs ``argv`` in this cgroup: it is in before ``argv`` begins."""
        return (SHELL, "-c", _ENTER, "mirrorfarm", self.directory, *argv)

    def populated(self) -> bool:
        """Whether a live process is in it, or below."""
        try:
            with open(self._file("cgroup.events"), encoding="ascii") as file:
                return "populated 1" in file.read().splitlines()
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise

    def processes(self) -> list[Process]:
        """The live processes in it, and below."""
        pids: set[int] = set()
        for directory, _, _ in os.walk(self.directory):
            with contextlib.suppress(OSError), open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as file:
                pids.update(int(line) for line in file if line.strip() != "0")
        return [p for p in map(read_process, sorted(pids)) if p is not None]

    def send_kill(self) -> None:
        """SIGKILL to all in it and below, those that fork meanwhile too; does not wait.

        Raises:
            DefiniteFailure: the kernel refused.
        """
        try:
            with open(self._file("cgroup.kill"), "w", encoding="ascii") as file:
                file.write("1")
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise DefiniteFailure(f"killing {self.directory}: {error}") from None

    async def kill(self, seconds: float) -> None:
        """SIGKILL to all, and wait until none is left.

        Raises:
            ProcessesLeft: some are still there after ``seconds``.
            DefiniteFailure: the kernel refused.
        """
        self.send_kill()
        if not await self.emptied(seconds):
            raise ProcessesLeft(self.directory, self.processes())

    async def emptied(self, seconds: float) -> bool:
        """Waits until nothing is left in it, for ``seconds`` at the most; whether that came."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        look_s = _FIRST_LOOK_S
        while self.populated():
            if loop.time() >= end:
                return False
            await asyncio.sleep(min(look_s, max(0.0, end - loop.time())))
            look_s = min(look_s * 2, _LONGEST_LOOK_S)
        return True

    def remove(self) -> None:
        """Remove it and what is below, when empty, and those above it that were made with it.

        Raises:
            DefiniteFailure: a process is in it.
        """
        for directory, _, _ in os.walk(self.directory, topdown=False):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise DefiniteFailure(f"removing the cgroup: {error}") from None
        module = os.path.dirname(self.directory)
        for above in (module, os.path.dirname(module)):
            with contextlib.suppress(OSError):  # Another part or module is there.
                os.rmdir(above)

    def _file(self, name: str) -> str:
        return os.path.join(self.directory, name)
