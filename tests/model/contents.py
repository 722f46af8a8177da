"""Operations, and what they make of a node's files.

A slot is a block of a file, or a name in a directory. Its value is the number of the operation that changed it last,
times eight, plus (for a name) the inode that it names: 0 for none. So a missing operation shows as an older value, and
one that cannot be repeated (create, rename, unlink) shows by its errno when it is applied twice, or where an earlier
one is missing.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.model.state import DONE, Client, Frame

Content = tuple[int, ...]
_INODES: Final = 8


class Operation(NamedTuple):
    """One call of the application."""

    kind: str
    """``write``, ``fsync``, ``create``, ``rename`` or ``unlink``."""
    slot: int = 0
    to: int = 0
    """rename: the new name's slot."""

    @property
    def slots(self) -> tuple[int, ...]:
        """What it changes."""
        if self.kind == "fsync":
            return ()
        return (self.slot, self.to) if self.kind == "rename" else (self.slot,)

    def __str__(self) -> str:
        match self.kind:
            case "fsync":
                return "fsync"
            case "rename":
                return f"rename {self.slot} to {self.to}"
            case kind:
                return f"{kind} {self.slot}"


def applied(content: Content, operation: Operation, number: int) -> Content | None:
    """``content`` after the operation; ``None``: an error (EEXIST, ENOENT)."""
    kind, slot, to = operation
    if kind == "fsync":
        return content
    after = list(content)
    inode = content[slot] % _INODES
    if kind == "write":
        after[slot] = number * _INODES
        return tuple(after)
    if (inode != 0) is (kind == "create"):
        return None
    after[slot] = number * _INODES
    if kind == "create":
        after[slot] += number
    elif kind == "rename":
        after[to] = number * _INODES + inode
    return tuple(after)


def copied(content: Content, body: tuple[int, ...]) -> Content:
    """``content`` after a copy: slots and their values in turns."""
    after = list(content)
    for at in range(0, len(body), 2):
        after[body[at]] = body[at + 1]
    return tuple(after)


def has(content: Content, operation: Operation, number: int) -> bool:
    """Whether the operation, or a later one on the same slots, has taken effect."""
    return all(content[slot] // _INODES >= number for slot in operation.slots)


def missing(plan: tuple[Operation, ...], client: Client, content: Content) -> tuple[int, ...]:
    """Completed operations (from 0) without their effect in ``content``."""
    return tuple(i for i, s in enumerate(client.status) if s == DONE and not has(content, plan[i], i + 1))


def eventual(plan: tuple[Operation, ...], content: Content, frames: Iterable[Frame]) -> Content:
    """``content`` once the frames under way are applied; an operation that does not fit changes nothing."""
    for frame in frames:
        if frame.kind == "op":
            number = frame.body[0]
            content = applied(content, plan[number - 1], number) or content
        elif frame.kind == "copy":
            content = copied(content, frame.body[1:])
    return content


def shown(content: Content) -> str:
    """For people: by slot the last operation, and the inode that a name names."""
    return "(" + " ".join(f"{v // _INODES}:{v % _INODES}" if v % _INODES else str(v // _INODES) for v in content) + ")"
