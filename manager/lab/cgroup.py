"""One control group (cgroup2) as the lab uses it: a machine's processes, killed or frozen as one."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

from manager.lab.errors import LabError

KILL_SECONDS = 20.0
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """A live process, as the host sees it."""

    pid: int
    inside_pid: int
    """Its pid in the innermost namespace that it is in."""
    namespaces: int
    """How many pid namespaces it is in, the host's included."""
    state: str
    """One letter (proc_pid_status(5)): ``T`` is stopped, ``D`` hangs in the kernel."""
    command: str


@dataclass(frozen=True, slots=True)
class Cgroup:
    """By its directory."""

    directory: str

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        return os.path.isdir(self.directory)

    def make(self) -> None:
        """Make it.

        Raises:
            LabError: it cannot be made, or this kernel cannot kill a cgroup.
        """
        try:
            os.makedirs(self.directory, exist_ok=True)
        except OSError as error:
            raise LabError(f"making the cgroup {self.directory}: {error.strerror}") from None
        if not os.path.exists(os.path.join(self.directory, "cgroup.kill")):
            raise LabError(f"{self.directory} has no cgroup.kill: the lab needs Linux 5.14 or newer")

    def processes(self) -> list[Process]:
        """The live processes in it and below; zombies are none."""
        pids: set[int] = set()
        for directory in self._all():
            with contextlib.suppress(OSError), open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as file:
                pids.update(int(line) for line in file)
        return [p for p in map(read_process, sorted(pids)) if p is not None]

    def freeze(self, frozen: bool) -> None:
        """Stop or go on with all that is in it and below, without them noticing.

        Raises:
            LabError: it is not there.
        """
        self._write("cgroup.freeze", "1" if frozen else "0")

    @property
    def frozen(self) -> bool:
        """Whether :meth:`freeze` was asked for."""
        try:
            with open(os.path.join(self.directory, "cgroup.freeze"), encoding="ascii") as file:
                return file.read().strip() == "1"
        except FileNotFoundError:
            return False

    def kill(self) -> None:
        """SIGKILL to all in it and below at one moment, and wait until none is left.

        Raises:
            LabError: some do not go.
        """
        if not self.exists:
            return
        self._write("cgroup.kill", "1")
        end = time.monotonic() + KILL_SECONDS
        while self._populated():
            if time.monotonic() >= end:
                left = ", ".join(f"{p.pid} ({p.state}) {p.command}" for p in self.processes())
                raise LabError(f"killed, but not gone after {KILL_SECONDS:g} s: {left or 'processes without a name'}")
            time.sleep(_LOOK_S)

    def remove(self) -> None:
        """Remove it and all below; it is empty.

        Raises:
            LabError: something is in it.
        """
        for directory in reversed(self._all()):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LabError(f"removing the cgroup {directory}: {error.strerror}") from None

    def below(self, name: str) -> "list[Cgroup]":
        """The cgroups below it whose last name is ``name``."""
        return [Cgroup(d) for d in self._all() if os.path.basename(d) == name and d != self.directory]

    def _all(self) -> list[str]:
        return [directory for directory, _, _ in os.walk(self.directory)]

    def _populated(self) -> bool:
        try:
            with open(os.path.join(self.directory, "cgroup.events"), encoding="ascii") as file:
                return "populated 1" in file.read()
        except FileNotFoundError:
            return False

    def _write(self, name: str, text: str) -> None:
        try:
            with open(os.path.join(self.directory, name), "w", encoding="ascii") as file:
                file.write(text)
        except OSError as error:
            raise LabError(f"{self.directory}/{name}: {error.strerror}") from None


def read_process(pid: int) -> Process | None:
    """The process ``pid``; ``None`` when it is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read(4096).replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state = fields.get("State", "X")[0]
    pids = [int(word) for word in fields.get("NSpid", str(pid)).split()]
    return None if state in "ZX" else Process(pid, pids[-1], len(pids), state, command)


def send(processes: list[Process], number: signal.Signals) -> None:
    """A signal to each of them that still lives."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
