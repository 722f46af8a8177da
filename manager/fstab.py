"""Which file systems fstab(5) has at a directory or above it that are not mounted.

What is there then is the mount point, on another disk: it has none of the directory's files, and not its room.
"""

import os
from collections.abc import Collection, Iterator
from typing import Final

from manager.mount_names import plain

FSTAB: Final = "/etc/fstab"
_BY_HAND: Final = "noauto"


def unmounted(fstab: str, mounted: Collection[str], directory: str) -> str:
    """The place of the first one, as ``fstab`` (its text) has it; empty: there is none.

    Args:
        fstab: one that is mounted by hand alone (``noauto``) is not meant.
        mounted: all places where something is mounted.
        directory: an absolute path.
    """
    inside = os.path.join(directory, "")
    return next((p for p in _places(fstab) if p not in mounted and inside.startswith(os.path.join(p, ""))), "")


def read(path: str = FSTAB) -> str:
    """Its text; a machine may have none. Raises OSError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _places(fstab: str) -> Iterator[str]:
    for line in fstab.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[0].startswith("#") or _BY_HAND in fields[3].split(","):
            continue
        place = plain(fields[1])
        if place.startswith("/"):
            yield os.path.normpath(place)
