"""What the lab has to know of the host: its mounts, its cgroup2, its users, the commands it has, its free loop space.

It only looks; nothing here changes the host.
"""

import os
import pwd
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from manager import mountinfo
from manager.lab.errors import LabError
from manager.mountinfo import Mount

_NEEDED = (
    "arping", "etcd", "etcdctl", "ip", "losetup", "mkfs.ext4", "mkfs.xfs", "mount", "nft", "nsenter", "pivot_root",
    "start-stop-daemon", "umount",
)  # fmt: skip
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEAST_FREE_BYTES = 2 << 30
"""The images are sparse: so much is what a demonstration writes, with room to spare."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Of a directory that a package expects."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Host:
    """All that the plan of a machine needs to know of the host."""

    mounts: tuple[Mount, ...]
    project: str
    """The directory with this code."""
    etc: str
    """What a package puts into ``/etc``."""
    prefix: str
    """Of the virtual environment, whose ``bin/`` has our commands."""
    base_prefix: str
    """Of the Python below it."""
    owners: dict[str, Owner]
    """Of the users ``etcd`` and ``postgres``; root's where there is no such user."""
    architecture: str


def look() -> Host:
    """The host as it is.

    Raises:
        LabError: this installation is not whole.
    """
    project = Path(__file__).resolve().parents[2]
    return Host(
        mounts=tuple(mountinfo.read()),
        project=str(project),
        etc=_etc(project),
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        owners={user: _owner(user) for user in ("etcd", "postgres")},
        architecture=os.uname().machine,
    )


def cgroup_root() -> str:
    """Where cgroup2 is mounted.

    Raises:
        LabError: nowhere.
    """
    found = next((m.point for m in mountinfo.read() if m.kind == "cgroup2"), None)
    if found is None:
        raise LabError("missing: cgroup2: it is not mounted (mount -t cgroup2 none /sys/fs/cgroup)")
    return found


def check_machine() -> None:
    """Whether a lab can be on this machine.

    Raises:
        LabError: what is missing, in one line.
    """
    if os.geteuid() != 0:
        raise LabError("missing: root: the lab makes namespaces and mounts")
    lacking = [name for name in _NEEDED if shutil.which(name, path=PATH) is None]
    if lacking:
        raise LabError(f"missing: {', '.join(lacking)}. In a checkout, scripts/setup installs what the lab needs.")
    for device in ("/dev/fuse", "/dev/loop-control"):
        try:
            os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))  # The kernel loads what belongs to it.
        except OSError as error:
            raise LabError(f"missing: {device}: {error.strerror} (modprobe fuse loop)") from None
    root = cgroup_root()
    if not os.access(root, os.W_OK):
        raise LabError(f"missing: a cgroup2 that can be written: {root} is read-only, as in a container")


def check(directory: str) -> None:
    """Whether a lab can be here.

    Raises:
        LabError: what is missing.
    """
    check_machine()
    if os.path.exists(directory) and (not os.path.isdir(directory) or os.listdir(directory)):
        raise LabError(f"{directory} is there already, and not empty: the lab wants a directory of its own (--dir)")
    above = directory
    while not os.path.exists(above):
        above = os.path.dirname(above)
    free = os.statvfs(above)
    if free.f_bavail * free.f_frsize < LEAST_FREE_BYTES:
        raise LabError(f"{above} has less than {LEAST_FREE_BYTES >> 30} GiB free: give another directory with --dir")


def _etc(project: Path) -> str:
    for place in (project / "etc", Path(sys.prefix, "share/mirrorfarm/etc")):
        if (place / "agent.toml").is_file():
            return str(place)
    raise LabError(f"missing: the default configuration, in {project}/etc or {sys.prefix}/share/mirrorfarm/etc")


def _owner(user: str) -> Owner:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return Owner(0, 0)
    return Owner(entry.pw_uid, entry.pw_gid)
