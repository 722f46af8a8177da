"""The node itself: its clock, its boot id, and mounts that a former run left behind.

It ends mounts only where it is told to look; which modules are left over is the runtime's knowledge.
"""

import os
import posixpath
import time
from collections.abc import Collection

from agent.adapters import tools
from manager import mountinfo
from manager.model.errors import ConfigError, DefiniteFailure
from manager.mountinfo import Mount

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
BOOT_ID_VARIABLE = "MIRRORFARM_BOOT_ID_FILE"
"""Names another file for this process: a node of the lab has its own, since all share one kernel."""

FUSE_TYPE = "fuse.mirrorfarm"
UMOUNT_SECONDS = 5.0
_FUSE_CONNECTIONS = "/sys/fs/fuse/connections"


def now_ns() -> int:
    """``CLOCK_BOOTTIME``, in nanoseconds: the clock of all decisions (S11)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id(path: str = BOOT_ID_FILE) -> str:
    """What differs after each start of this machine (S8); :data:`BOOT_ID_VARIABLE` goes before ``path``.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    path = os.environ.get(BOOT_ID_VARIABLE) or path
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(256).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"boot id: {path}: found {error}; allowed: a readable file with one word") from None
    if not text:
        raise ConfigError(f"boot id: {path}: found nothing; allowed: one word")
    return text


def leftovers(mounts: list[Mount], directories: Collection[str]) -> list[Mount]:
    """The mounts at ``directories`` that are ours, the uppermost first.

    Ours are FUSE mounts of our type, and read-only mounts of a directory onto itself: a cover. A file system of its
    own that is mounted there is none, since the mount below it is of another device.
    """
    by_id = {m.mount_id: m for m in mounts}
    found = [m for m in mounts if m.point in directories and (m.kind == FUSE_TYPE or _is_cover(m, by_id))]
    return found[::-1]


def _is_cover(mount: Mount, by_id: dict[int, Mount]) -> bool:
    below = by_id.get(mount.parent_id)
    if below is not None and below.kind == FUSE_TYPE:
        return False
    if below is None or "ro" not in mount.options or mount.device != below.device:
        return False
    inside = posixpath.relpath(mount.point, below.point)
    return mount.root == posixpath.normpath(posixpath.join(below.root, inside))


async def remove_leftover_mounts(directories: Collection[str]) -> tuple[str, ...]:
    """Unmounts, lazily, what a former run left at ``directories``; returns what it was, for the log.

    Only where no replicator of ours lives any more. A FUSE connection is aborted first, so that a process that
    hangs in it goes on.

    Raises:
        DefiniteFailure: umount refused, or what is mounted is not understood.
        IndefiniteFailure: umount did not return.
    """
    found = leftovers(mountinfo.read(), directories)
    for mount in found:
        if mount.kind == FUSE_TYPE:
            _abort(mount)
        await _unmount(mount.point)
    return tuple(f"{m.kind} on {m.point}" for m in found)


def _abort(mount: Mount) -> None:
    path = f"{_FUSE_CONNECTIONS}/{mount.device.partition(':')[2]}/abort"
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("1")
    except FileNotFoundError:
        return  # Its server is gone and it was aborted with it, or fusectl is not mounted here.
    except OSError as error:
        raise DefiniteFailure(f"aborting the FUSE connection of {mount.point}: {error}") from None


async def _unmount(point: str) -> None:
    # No canonicalising, no helper: neither may touch the dead file system.
    ran = await tools.run(("umount", "-l", "-c", "-i", "--", point), UMOUNT_SECONDS)
    if ran.exit_code != 0:
        raise DefiniteFailure(f"umount of {point}: {ran.output}")
