"""What a node kept of its own before its copy became another node's: the words for it between agent and replicator.

Where an operator forced a copy to be primary (S12), the node that went on without it has changes that no other has.
Before such a node is brought in sync its own version of all that differs is set aside, below ``.mirrorfarm/aside/`` of
each of its directories. These messages list, show, restore and clear it, and say how the setting aside goes. They are
a part of :mod:`manager.model.control`. How it is kept, and whether there is room, is not known here.

A path is absolute, and written so that every name can be told and typed: see :func:`path_text`.
"""

import enum
import re
from dataclasses import dataclass
from typing import Final

MAX_ITEMS: Final = 1000
"""That one report has at the most, so that its line has an end."""

# Commands, agent to replicator. Each is answered by an AsideReport, in any role.


@dataclass(frozen=True, slots=True)
class AsideList:
    """Which asides are there?"""

    request_id: str


@dataclass(frozen=True, slots=True)
class AsideShow:
    """What is in one of them?"""

    request_id: str
    number: int
    path: str = ""
    """This and all below; empty: everything."""
    skip: int = 0
    """So many of what is asked for were shown already."""
    limit: int = MAX_ITEMS
    """How many to name at the most; never more than ``MAX_ITEMS``."""


@dataclass(frozen=True, slots=True)
class AsideRestore:
    """Copy what is kept of ``path``, with all that is kept below it, out of the aside; it stays in the aside too."""

    request_id: str
    number: int
    path: str
    target: str
    """As a path; must not exist, its parent must; not within a replicated directory of the module."""


@dataclass(frozen=True, slots=True)
class AsideClear:
    """Delete an aside for good."""

    request_id: str
    number: int


@dataclass(frozen=True, slots=True)
class AsideGiveUp:
    """This node's own changes are to be lost: it is brought in sync without anything being kept of them."""

    request_id: str


# Events, replicator to agent


class Kept(enum.StrEnum):
    """What there is in an aside of one path."""

    UNKNOWN = "unknown"
    """What another release has kept, and this one does not know."""
    WHOLE = "whole"
    """A file with its content, a symbolic link, a special file; with its attributes."""
    DIRECTORY = "directory"
    """The directory and its attributes; what is kept of what was in it is told by itself."""
    ATTRIBUTES = "attributes"
    """Of a file that has the same content at the primary: they are in the list, and nothing can be restored."""


@dataclass(frozen=True, slots=True)
class AsideItem:
    """In what one path of this node's copy differed from the primary's, and what is kept of it.

    A file may have two: attributes are compared first, content later.
    """

    path: str
    what: tuple[str, ...]
    """As in :class:`manager.model.reports.Difference`; ``extra``: the primary had nothing of that name there."""
    kept: Kept
    size: int
    """Of the file, in bytes; 0 of what is none."""
    bytes: int
    """That the aside takes for it on the disk, about."""
    detail: str = ""
    """This node's attributes, where they differed; for people."""


@dataclass(frozen=True, slots=True)
class Aside:
    """What was kept at one time."""

    number: int
    at: str
    """When it was begun; wall clock, for people."""
    node_epoch: int
    """The last epoch that this node's copy took part in by itself."""
    primary: str
    """Whose copy this node's became."""
    epoch: int
    """That primary's."""
    items: int
    """How many are in it."""
    bytes: int
    """That it takes on the disk, about."""


@dataclass(frozen=True, slots=True)
class AsideReport:
    """The answer to a command of the asides."""

    request_id: str
    error: str
    """Why it was not done; empty: it was."""
    diverged: bool
    """There is something yet to be set aside."""
    limit_bytes: int
    """For all asides together; 0: nothing may be kept."""
    asides: tuple[Aside, ...]
    """All, the oldest first, as they are after the command."""
    items: tuple[AsideItem, ...] = ()
    """To AsideShow: ``limit`` of what is asked for, in the order in which it was found."""
    items_total: int = 0
    """How many there are, with those that are not in ``items``; to AsideRestore: how many were restored."""


@dataclass(frozen=True, slots=True)
class SettingAside:
    """Secondary: what differs from ``primary`` is being kept; nothing else is changed meanwhile."""

    primary: str
    epoch: int


@dataclass(frozen=True, slots=True)
class NotSetAside:
    """Secondary: what differs cannot be kept, so the stream was ended and the copy is as it was. A StreamLost follows.

    It is tried again by itself after a while, and at once after an aside was cleared, or all is given up.
    """

    primary: str
    full: bool
    """There is no room for it; else it cannot be read, or written."""
    detail: str
    """For people."""
    needed_bytes: int = 0
    """For what did not fit, beside what was kept already."""
    room_bytes: int = 0
    """That there was for it."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Secondary: all that differs is kept, on the disk, or given up; the join begins."""

    primary: str
    """Empty: it was given up."""
    number: int
    """Of the aside; 0: nothing differed, or it was given up."""
    items: int
    bytes: int


Command = AsideList | AsideShow | AsideRestore | AsideClear | AsideGiveUp
Event = AsideReport | SettingAside | NotSetAside | SetAside

# Paths

_UNPRINTABLE: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED: Final = re.compile(rb"\\(\\|x[0-9a-fA-F]{2})")


def path_text(path: bytes) -> str:
    r"""``path`` as it is shown: a backslash doubled; what is no character, or controls a terminal, as ``\xNN``."""

    def escaped(match: re.Match[str]) -> str:
        found = match.group()
        return (
            "\\\\" if found == "\\" else "".join(f"\\x{byte:02x}" for byte in found.encode("utf-8", "surrogateescape"))
        )

    return _UNPRINTABLE.sub(escaped, path.decode("utf-8", "surrogateescape"))


def path_bytes(text: str) -> bytes:
    """The path that :func:`path_text` shows so; what a shell hands over as it is, unless it has a backslash."""

    def plain(match: re.Match[bytes]) -> bytes:
        found = match.group(1)
        return b"\\" if found == b"\\" else bytes([int(found[1:], 16)])

    return _ESCAPED.sub(plain, text.encode("utf-8", "surrogateescape"))
