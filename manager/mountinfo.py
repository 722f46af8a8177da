"""What is mounted for a process, as the kernel lists it in ``/proc/<pid>/mountinfo`` (proc_pid_mountinfo(5)).

It asks no file system. What a mount means is for who reads it.
"""

import os
from dataclasses import dataclass
from typing import Final

from manager.model.errors import DefiniteFailure
from manager.mount_names import plain

OWN: Final = "/proc/self/mountinfo"
_BEFORE_DASH: Final = 6
"""Fields that every line has, before any number of optional ones."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line. What is optional in it, the propagation, is left out."""

    mount_id: int
    parent_id: int
    """Of the mount that it is on; the topmost one of a namespace has one there that is not listed."""
    device: str
    """``major:minor`` of what is on it; with btrfs stat(2) has another one."""
    root: str
    """The directory of the file system that is mounted."""
    point: str
    """Where."""
    options: frozenset[str]
    """Of this mount: ``ro``, ``nosuid`` and so on."""
    kind: str
    """The file system's type, such as ``ext4`` or ``fuse.mirrorfarm``."""
    source: str
    """What mount(8) was given: a device, or any word, or nothing."""
    super_options: str
    """Of the file system, as it writes them itself: not every one hides its blanks."""


def read(path: str | os.PathLike[str] = OWN) -> list[Mount]:
    """The mounts of a process in the order of the kernel's list, which is that of mounting.

    Raises:
        OSError: the process is gone, or another user's.
        DefiniteFailure: that is no mountinfo.
    """
    with open(path, "rb") as file:
        return parse(file.read().decode("utf-8", "surrogateescape"))


def parse(text: str) -> list[Mount]:
    """The mounts in the text of a mountinfo. Raises DefiniteFailure, which names the line and what is wrong with it."""
    # Not splitlines(): a mount point may have in it all that ends a line elsewhere; the kernel hides the newline alone.
    lines = text.removesuffix("\n").split("\n") if text else []
    return [_mount(line, number) for number, line in enumerate(lines, 1)]


def _mount(line: str, number: int) -> Mount:
    def malformed(problem: str) -> DefiniteFailure:
        return DefiniteFailure(f"mountinfo: line {number}: {problem}, which leaves open what is mounted: {line!r}")

    fields = line.split(" ")
    if len(fields) < _BEFORE_DASH:
        raise malformed(f"{len(fields)} of at least {_BEFORE_DASH} fields")
    if "-" not in fields[_BEFORE_DASH:]:
        raise malformed("no dash after the optional fields")
    mount_id, parent_id, device, root, point, options = fields[:_BEFORE_DASH]
    if not (mount_id.isdecimal() and parent_id.isdecimal()):
        raise malformed("the ids of the mount and of its parent are no numbers")
    if not all(part.isdecimal() for part in device.split(":", 1)) or ":" not in device:
        raise malformed("the device is not major:minor")
    after = " ".join(fields[fields.index("-", _BEFORE_DASH) + 1 :]).split(" ", 2)
    if len(after) < 3:
        raise malformed("after the dash are not type, source and options")
    kind, source, super_options = after
    return Mount(
        mount_id=int(mount_id),
        parent_id=int(parent_id),
        device=device,
        root=plain(root),
        point=plain(point),
        options=frozenset(options.split(",")),
        kind=plain(kind),
        source=plain(source),
        super_options=plain(super_options),
    )
