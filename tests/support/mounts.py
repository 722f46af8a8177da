"""Mounts that nobody has made."""

from manager import mountinfo
from manager.mountinfo import Mount


def mount_at(point: str, kind: str = "ext4", source: str = "/dev/sdc") -> Mount:
    """As the kernel lists it: of a whole file system, and writable."""
    (made,) = mountinfo.parse(f"31 21 8:2 / {point} rw,relatime - {kind} {source} rw")
    return made
