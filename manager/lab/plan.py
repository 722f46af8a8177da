"""What process 1 of a machine mounts and makes, so that inside everything is where it is on a real machine.

Pure: a layout and what is known of the host in, a plan as JSON-ready objects out. The root is the host's own, with
all changes on the machine's own system disk (overlayfs). What must not be the host's is the machine's own, and empty:
``/srv`` (a disk of its own), the directories in ``_OWN`` (on the system disk, without an overlay, since etcd and
databases stand on them), ``/tmp``, ``/run``, ``/dev/shm`` (memory). The logs are a directory of the host, so that they
can be read while the machine is dead.
"""

import os
from dataclasses import dataclass
from typing import Any

from manager.lab.files import Made, directory, first_boot_files
from manager.lab.host import Host
from manager.lab.layout import Layout, Machine, Role
from manager.mountinfo import Mount

SYSTEM_IMAGE = "system.img"
SRV_IMAGE = "srv.img"
SYSTEM_IMAGE_BYTES = 8 << 30
BOOT_ID = "boot_id"
CLOCK_OFFSET = "clock_offset"

_LINUX = {"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "ramfs", "cgroup", "cgroup2", "securityfs", "debugfs"}
_REPLACED = ("/proc", "/sys", "/dev", "/run", "/tmp", "/srv")
_BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"

_OWN = (
    ("/etc/mirrorfarm", "root"),
    ("/etc/postgresql", "postgres"),
    ("/var/lib/etcd", "etcd"),
    ("/var/lib/mirrorfarm", "root"),
    ("/var/lib/postgresql", "postgres"),
    ("/var/log/postgresql", "postgres"),
)
_LOGS = (("/var/log/mirrorfarm", "mirrorfarm", "root"), ("/var/log/etcd", "etcd", "etcd"))
_PLAIN = "nosuid,nodev,noexec"
"""As Debian and Ubuntu mount /run, /proc and /sys, and who follows the CIS benchmarks /tmp and /dev/shm, too."""


@dataclass(frozen=True, slots=True)
class Places:
    """A machine's directories on the host."""

    home: str

    @property
    def system(self) -> str:
        """Where the system disk is mounted, in the machine's own namespace only."""
        return os.path.join(self.home, "system")

    @property
    def root(self) -> str:
        """Where the machine's root is put together, in the machine's own namespace only."""
        return os.path.join(self.home, "root")

    def inside(self, path: str) -> str:
        """Where the machine's ``path`` is while the root is put together."""
        return self.root + path

    def own(self, path: str) -> str:
        """Where the machine's ``path`` is on its system disk."""
        return os.path.join(self.system, "own", path.strip("/").replace("/", "-"))

    def image(self, name: str) -> str:
        """A disk."""
        return os.path.join(self.home, name)


def make_plan(layout: Layout, machine: Machine, host: Host, cgroup: str, lease_ttl_s: int) -> dict[str, Any]:
    """The plan for process 1 of ``machine``, which runs in ``cgroup``; see manager.lab.machine_init."""
    places = Places(layout.home(machine))
    return {
        "cgroup": cgroup,
        "hostname": machine.name,
        "root": places.root,
        "system_disk": ["-o", "loop", places.image(SYSTEM_IMAGE), places.system],
        "first_boot_made": [m.plain() for m in _on_the_system_disk(layout, machine, host, places)],
        "mounts": _mounts(layout, machine, host, places),
        "made": [m.plain() for m in _at_each_boot(machine)],
        "disks": ["/", *disks(machine)],
        "first_boot_files": [m.plain() for m in first_boot_files(layout, machine, host, lease_ttl_s)],
    }


def disks(machine: Machine) -> tuple[str, ...]:
    """A directory on each of its disks itself: for the system disk one that is beside the overlay."""
    return ("/var/lib/mirrorfarm", "/srv") if machine.file_system is not None else ("/var/lib/mirrorfarm",)


def _on_the_system_disk(layout: Layout, machine: Machine, host: Host, places: Places) -> list[Made]:
    made = [directory(os.path.join(places.system, name)) for name in ("changed", "work")]
    for path, user in _OWN:
        owner = host.owners.get(user)
        made.append(directory(places.own(path), owner))
    for _, name, user in _LOGS:
        made.append(directory(os.path.join(layout.logs(machine), name), host.owners.get(user)))
    return made


def _at_each_boot(machine: Machine) -> list[Made]:
    made = [directory("/run/lock", mode=0o1777)]
    if machine.role is Role.NODE:
        made.append(directory("/srv/db"))
    return made


def _mounts(layout: Layout, machine: Machine, host: Host, places: Places) -> list[list[str]]:
    inside = places.inside
    overlay = f"lowerdir=/,upperdir={places.system}/changed,workdir={places.system}/work"
    mounts = [
        ["-t", "overlay", "-o", overlay, "overlay", places.root],
        *(["--rbind", "-o", "ro", m.point, inside(m.point)] for m in _other_disks(host.mounts)),
        ["-t", "proc", "-o", _PLAIN, "proc", inside("/proc")],
        ["-t", "sysfs", "-o", _PLAIN, "sysfs", inside("/sys")],
        ["-t", "cgroup2", "cgroup2", inside("/sys/fs/cgroup")],
        ["-t", "fusectl", "fusectl", inside("/sys/fs/fuse/connections")],
        ["--bind", "/dev", inside("/dev")],
        ["-t", "devpts", "-o", "mode=620,ptmxmode=666,gid=5", "devpts", inside("/dev/pts")],
        ["-t", "tmpfs", "-o", f"mode=1777,{_PLAIN}", "shm", inside("/dev/shm")],
        ["-t", "tmpfs", "-o", f"mode=755,{_PLAIN}", "run", inside("/run")],
        ["-t", "tmpfs", "-o", f"mode=1777,{_PLAIN}", "tmp", inside("/tmp")],
        ["--bind", places.image(BOOT_ID), inside(_BOOT_ID_FILE)],
    ]
    mounts += [["--bind", places.own(path), inside(path)] for path, _ in _OWN]
    mounts += [["--bind", os.path.join(layout.logs(machine), name), inside(path)] for path, name, _ in _LOGS]
    if machine.file_system is not None:
        mounts.append(["-o", "loop", places.image(SRV_IMAGE), inside("/srv")])
    # Last, since they may be in a directory that was just covered. Read-only: nothing inside changes the host.
    mounts += [["--rbind", "-o", "ro", path, inside(path)] for path in _of_the_project(host)]
    # The disks of all machines are no business of a machine.
    mounts.append(["-t", "tmpfs", "-o", "ro,size=4k,mode=0", "lab", inside(layout.directory)])
    return mounts


def _other_disks(mounts: tuple[Mount, ...]) -> list[Mount]:
    """The host's file systems beside its root: an overlay shows what is below a mount, not what is on it."""
    return [
        m for m in mounts
        if m.point != "/" and m.kind not in _LINUX and not any(_is_below(m.point, top) for top in _REPLACED)
        and not any(_is_below(m.point, o.point) for o in mounts if o is not m and o.point != "/")
        and os.path.isabs(m.point)
    ]  # fmt: skip


def _of_the_project(host: Host) -> list[str]:
    """Where this code, its virtual environment and its Python are, none of them twice."""
    paths: list[str] = []
    for path in (host.project, host.prefix, host.base_prefix):
        if not any(_is_below(path, top) for top in (*paths, "/usr")):
            paths.append(path)
    return paths


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")
