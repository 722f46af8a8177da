"""The words for the file system below a mirror: what it can do, what it has room for, and what in it is our own.

Both nodes tell each other these and refuse by them, so the wire and the file system in front need them as the disk
does. How they are found out is not known here (``replicator.disk.limits``).
"""

from dataclasses import dataclass
from typing import Final

PRIVATE_DIRECTORY: Final = ".mirrorfarm"
"""In the root of each replicated directory: hidden, reserved, and not replicated."""
PRIVATE_NAME: Final = PRIVATE_DIRECTORY.encode()

ID_XATTR: Final = "trusted.mirrorfarm"
"""The extended attribute that keeps an inode's id on the inode (``replicator.disk.inode_ids``)."""
HIDDEN_XATTRS: Final = frozenset({ID_XATTR.encode(), b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"})
"""Ours, and the names by which XFS shows its ACLs a second time, beside ``system.posix_acl_*``.

To another file system those of XFS are attributes like any: set by one of them the copies would have different ACLs.
"""

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
RENAME_WHITEOUT: Final = 4
"""renameat2(2)."""

FALLOC_FL_KEEP_SIZE: Final = 1
FALLOC_FL_PUNCH_HOLE: Final = 2
FALLOC_FL_ZERO_RANGE: Final = 16
"""fallocate(2)."""

PUNCH_HOLE: Final = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
"""The one mode in which fallocate(2) makes a hole."""
FALLOCATE_MODES: Final = (
    0,
    FALLOC_FL_KEEP_SIZE,
    PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
)
"""Those that a FUSE file system is asked for, and that are mirrored where both nodes can do them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a file system. Sizes in bytes."""

    largest_file: int
    symlink_target: int
    links: int
    """Names of one inode."""
    xattr_bytes: int
    """Of one extended attribute; with some file systems of all attributes of an inode together."""
    fallocate_modes: tuple[int, ...]
    exchange: bool
    """Whether rename can exchange two names."""

    def common(self, other: "Limits") -> "Limits":
        """What both can."""
        return Limits(
            largest_file=min(self.largest_file, other.largest_file),
            symlink_target=min(self.symlink_target, other.symlink_target),
            links=min(self.links, other.links),
            xattr_bytes=min(self.xattr_bytes, other.xattr_bytes),
            fallocate_modes=tuple(mode for mode in self.fallocate_modes if mode in other.fallocate_modes),
            exchange=self.exchange and other.exchange,
        )


@dataclass(frozen=True, slots=True)
class Free:
    """What one without privilege may still use."""

    bytes: int
    inodes: int
