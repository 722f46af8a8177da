"""One machine of the lab while it runs: start it, run commands in it, crash it, freeze what is in it.

What a machine is lies in the kernel: a process 1 in the machine's cgroup holds its namespaces, and its mounts,
network and disks go when that is killed. Nothing is remembered here that could be stale.
"""

import array
import contextlib
import enum
import fcntl
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manager.lab import plan
from manager.lab.cgroup import Cgroup, Process, send
from manager.lab.commands import run
from manager.lab.errors import LabError
from manager.lab.host import PATH, Host
from manager.lab.layout import FileSystem, Layout, Machine
from manager.lab.switch import Switch

INIT = str(Path(__file__).with_name("machine_init.py"))
ENTER_FAILED = 125
"""Exit code of :meth:`RunningMachine.command` when the machine could not be entered."""
_ENTER = f'echo 0 2>/dev/null > "$1" || exit {ENTER_FAILED}; shift; exec "$@"'
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--cgroup", "--time", "--pid")
_DISK_SECONDS = 20.0
_UP_SINCE_S = (10.0, 30 * 86400.0)
"""When a lab is made its machines have been up for a while, none as long as another."""
_BOOTED_S = 5.0
_LOOK_S = 0.01

_FS_IOC_SHUTDOWN = 0x8004587D
"""linux/fs.h and xfs_fs.h: _IOR('X', 125, __u32)."""
_NO_LOG_FLUSH = 2


class What(enum.StrEnum):
    """What of a node can be frozen or killed by itself."""

    AGENT = "agent"
    REPLICATOR = "replicator"
    APPLICATION = "application"
    ETCD = "etcd"


_STRICT = "for link in all default eth0; do echo 1 >/proc/sys/net/ipv4/conf/$link/rp_filter; done"
"""As the CIS benchmarks want it: what comes from where an answer would not go is dropped (ip-sysctl.rst)."""
_COMMAND_OF = {What.AGENT: ("mirrorfarm-agent", "agent.main"), What.REPLICATOR: ("replicator.main",)}


@dataclass(frozen=True, slots=True)
class RunningMachine:
    """A machine, by its place in the layout and its cgroup. It may be running, or down."""

    layout: Layout
    machine: Machine
    cgroup: Cgroup

    @property
    def name(self) -> str:
        """Its name."""
        return self.machine.name

    @property
    def is_up(self) -> bool:
        """Whether its process 1 lives."""
        return self._init() is not None

    @property
    def pid(self) -> int:
        """Its process 1, as the host sees it.

        Raises:
            LabError: it is down.
        """
        init = self._init()
        if init is None:
            raise LabError(f"{self.name} is down; mirrorfarm lab start {self.name} starts it")
        return init.pid

    def make_disks(self) -> None:
        """Its disks, empty, and its first boot id.

        Raises:
            LabError: they cannot be made.
        """
        places = self._places
        os.makedirs(os.path.join(places.home, "log"), exist_ok=True)
        _make_disk(places.image(plan.SYSTEM_IMAGE), FileSystem.EXT4, plan.SYSTEM_IMAGE_BYTES)
        if self.machine.file_system is not None:
            _make_disk(places.image(plan.SRV_IMAGE), self.machine.file_system, self.machine.file_system.size_bytes)
        self._power_on(random.uniform(*_UP_SINCE_S))

    def boot(self, host: Host, switch: Switch, lease_ttl_s: int) -> None:
        """Start it: namespaces, mounts, network. No service is started yet.

        Raises:
            LabError: it is up already, or could not be made; then nothing of it is left running.
        """
        if self.is_up:
            raise LabError(f"{self.name} is up already")
        self.cgroup.make()
        self.cgroup.freeze(False)
        file = os.path.join(self._places.home, "plan.json")
        with open(file, "w", encoding="utf-8") as out:
            made = plan.make_plan(self.layout, self.machine, host, self.cgroup.directory, lease_ttl_s)
            json.dump(made | {"clock_offset_s": self.clock_offset_s}, out)
        try:
            launch(file, self.layout.console(self.machine), self.name)
            switch.attach(self.machine, self.pid)
            self._configure_network()
        except LabError:
            self.cgroup.kill()
            raise

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs ``argv`` inside, in ``/root``, with a clean environment and our commands in PATH.

        What it starts inside ends with it, save for what has left it behind as a daemon does. It is killed when the
        machine crashes.

        Raises:
            LabError: the machine is down.
        """
        environment = {
            "PATH": f"{self._bin}:{PATH}", "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/sh",
            "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb"),
        }  # fmt: skip
        entering = ["nsenter", "--target", str(self.pid), *_NAMESPACES, "--"]
        cleaned = ["setpriv", "--pdeathsig", "KILL", "env", "-i", "-C", "/root"]
        cleaned += [f"{name}={value}" for name, value in environment.items()]
        procs = os.path.join(self.cgroup.directory, "cgroup.procs")
        return ["/bin/sh", "-c", _ENTER, "lab", procs, *entering, *cleaned, *argv]

    def run(self, argv: Sequence[str], *, stdin: str = "", seconds: float = 60.0) -> str:
        """Run ``argv`` inside, and return its output.

        Raises:
            LabError: the machine is down, or the command failed or did not end in time.
        """
        return run(self.command(argv), stdin=stdin, seconds=seconds, named=f"on {self.name}: {shlex.join(argv)}")

    def crash(self, switch: Switch, *, power: bool) -> int:
        """End it at one moment: the cable, then every process; with ``power`` the page caches of its disks too.

        What was not fsynced is lost by ``power`` alone: without it the disks are unmounted, as if the kernel had
        lived on.

        Returns:
            ``CLOCK_BOOTTIME`` of the moment from which on nothing left the machine, in nanoseconds.

        Raises:
            LabError: it is down already, or something does not go.
        """
        pid = self.pid
        with contextlib.ExitStack() as stack:
            disks = [self._open_disk(stack, pid, path) for path in plan.disks(self.machine)] if power else []
            switch.detach(self.machine)
            moment_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            for disk in disks:
                fcntl.ioctl(disk, _FS_IOC_SHUTDOWN, array.array("I", [_NO_LOG_FLUSH]))
        self.cgroup.kill()
        self._wait_for_disks()
        if power:
            self._power_on(_BOOTED_S)
        return moment_ns

    def clear(self) -> None:
        """End all of it, up or not, and wait until its disks are free.

        Raises:
            LabError: something does not go.
        """
        self.cgroup.kill()
        self._wait_for_disks()
        if self.cgroup.exists:
            self.cgroup.remove()

    def processes(self, what: What | None = None) -> list[Process]:
        """Its live processes; of ``what`` alone, when it is given."""
        if what is What.APPLICATION:
            return [p for cgroup in self.cgroup.below("app") for p in cgroup.processes()]
        every = self.cgroup.processes()
        return every if what is None else [p for p in every if _is_of(what, p)]

    def parts(self) -> dict[What, list[Process]] | None:
        """Its live processes by what they are a part of, read at once; ``None``: it is down."""
        every = self.cgroup.processes()
        if not any(map(_is_init, every)):
            return None
        parts = {what: [p for p in every if _is_of(what, p)] for what in (What.AGENT, What.REPLICATOR, What.ETCD)}
        return parts | {What.APPLICATION: self.processes(What.APPLICATION)}

    def freeze(self, what: What | None = None) -> None:
        """Stop all of it, or ``what`` alone, without it noticing; it stays as it is until :meth:`thaw`.

        Raises:
            LabError: it is down, or there is no such process.
        """
        if what is None:
            _ = self.pid  # A machine that is down cannot be frozen.
            self.cgroup.freeze(True)
            return
        send(self._found(what), signal.SIGSTOP)

    def kill(self, what: What) -> None:
        """SIGKILL to a part of it.

        Raises:
            LabError: there is no such process.
        """
        send(self._found(what), signal.SIGKILL)

    def thaw(self, what: What | None = None) -> None:
        """Go on with whatever :meth:`freeze` stopped, or with ``what`` alone.

        Raises:
            LabError: there is no such process, or it is stopped with all of the machine.
        """
        if what is not None:
            found = self._found(what)
            if self.cgroup.frozen:
                raise LabError(f"{self.name} is frozen as a whole: mirrorfarm lab thaw {self.name}")
            send([p for p in found if p.state == "T"], signal.SIGCONT)
        elif self.cgroup.exists:
            self.cgroup.freeze(False)
            send([p for p in self.processes() if p.state == "T"], signal.SIGCONT)

    @property
    def clock_offset_s(self) -> int:
        """How far its CLOCK_BOOTTIME and CLOCK_MONOTONIC are ahead of the host's."""
        return int(Path(self._places.image(plan.CLOCK_OFFSET)).read_text(encoding="ascii"))

    @property
    def boot_id(self) -> str:
        """What differs after each loss of power."""
        return Path(self._places.image(plan.BOOT_ID)).read_text(encoding="ascii").strip()

    def _found(self, what: What) -> list[Process]:
        found = self.processes(what)
        if not found:
            raise LabError(f"on {self.name} no {what} is running")
        return found

    @property
    def _places(self) -> plan.Places:
        return plan.Places(self.layout.home(self.machine))

    @property
    def _bin(self) -> str:
        return os.path.join(sys.prefix, "bin")

    def _init(self) -> Process | None:
        return next(filter(_is_init, self.cgroup.processes()), None)

    def _open_disk(self, stack: contextlib.ExitStack, pid: int, path: str) -> int:
        try:
            disk = os.open(f"/proc/{pid}/root{path}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LabError(f"{self.name}: {path}: {error.strerror}") from None
        stack.callback(os.close, disk)
        return disk

    def _configure_network(self) -> None:
        machine = self.machine
        batch = [
            "link set lo up",
            f"addr add {machine.ipv4}/24 brd + dev eth0",
            f"addr add {machine.ipv6}/64 dev eth0 nodad",
            "link set eth0 up",
        ]
        inside = ["nsenter", "--target", str(self.pid), "--net"]
        run([*inside, "ip", "-batch", "-"], stdin="\n".join(batch))
        # As the CIS benchmarks want it: what comes from where an answer would not go is dropped.
        run(
            [
                *inside,
                "sh",
                "-c",
                "for link in all default eth0; do echo 1 >/proc/sys/net/ipv4/conf/$link/rp_filter; done",
            ]
        )

    def _power_on(self, up_since_s: float) -> None:
        """What is another one each time that it gets power: the boot id, and the clock that counts from there."""
        Path(self._places.image(plan.BOOT_ID)).write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        offset_s = round(up_since_s - time.clock_gettime(time.CLOCK_BOOTTIME))
        Path(self._places.image(plan.CLOCK_OFFSET)).write_text(f"{offset_s}\n", encoding="ascii")

    def _wait_for_disks(self) -> None:
        """Until the kernel has let go of them: the mounts go with the last process, a little later than it."""
        end = time.monotonic() + _DISK_SECONDS
        while busy := loops_below(self._places.home):
            if time.monotonic() >= end:
                raise LabError(f"{self.name} is dead, but its disks are still in use: {', '.join(busy)}")
            time.sleep(_LOOK_S)


def launch(plan_file: str, console: str, name: str) -> None:
    """Start a process 1 that does what ``plan_file`` says, and wait until it has done it.

    Raises:
        LabError: it failed; with the last line of its console.
    """
    readable, writable = os.pipe()
    with open(console, "ab") as log, open(readable, "rb") as ready:
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", INIT, plan_file, str(writable)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, pass_fds=(writable,), env={"PATH": PATH}, check=False, timeout=30,
            )  # fmt: skip
        finally:
            os.close(writable)
        if ready.read() == b"ready":
            return
    lines = Path(console).read_text(encoding="utf-8", errors="replace").splitlines() or ["it said nothing"]
    raise LabError(f"{name} did not start: {' | '.join(lines[-3:])} ({console})")


def loops_below(directory: str) -> list[str]:
    """The loop devices whose files are below ``directory``, each with its file."""
    found = []
    for device in Path("/sys/block").glob("loop*"):
        try:
            backing = (device / "loop/backing_file").read_text(errors="surrogateescape").strip()
        except OSError:
            continue  # It has no file, or lost it this moment.
        if backing.startswith(directory.rstrip("/") + "/"):
            found.append(f"/dev/{device.name} ({backing})")
    return found


def _is_init(process: Process) -> bool:
    return (process.inside_pid, process.namespaces) == (1, 2)


def _is_of(what: What, process: Process) -> bool:
    """Whether it is one of ``what``, which is not the application: that is known by its cgroup."""
    if what is What.ETCD:
        return os.path.basename(process.command.split(" ")[0]) == "etcd"
    return any(words in process.command for words in _COMMAND_OF[what]) and not _enters(process)


def _enters(process: Process) -> bool:
    """Whether it is our own way into the machine, whose command line names what is run inside."""
    return process.namespaces == 1


def _make_disk(image: str, file_system: FileSystem, size_bytes: int) -> None:
    with open(image, "wb") as file:
        file.truncate(size_bytes)
    if file_system is FileSystem.EXT4:
        # The image is all zeros: nothing has to be zeroed later, behind the tests' backs.
        run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard,assume_storage_prezeroed=1", image])
    else:
        run(["mkfs.xfs", "-q", "-f", "-K", image])
