"""Notices links that come up, and links that change, from the kernel's own notifications (rtnetlink(7))."""

import socket
import struct
from collections.abc import Callable

from agent.adapters.kernel_notices import KernelNotices
from manager import netlink_messages

_LINK = struct.Struct("=BxHiII")
_NEW_LINK = 16
_DELETED_LINK = 17
_GROUP_LINK = 1
_LOWER_UP = 0x10000


def parse_links(datagram: bytes) -> list[tuple[int, bool]]:
    """Index and carrier of each link that a datagram of notifications tells of; what is none is left out."""
    found = []
    for kind, body in netlink_messages.messages(datagram):
        if kind in (_NEW_LINK, _DELETED_LINK) and len(body) >= _LINK.size:
            _, _, index, flags, _ = _LINK.unpack_from(body)
            found.append((index, kind == _NEW_LINK and bool(flags & _LOWER_UP)))
    return found


class LinkWatch:
    """Calls back when a link has a carrier that had none, and at each change; one for an agent, on the loop.

    Of one that was not heard of before, it is not known that it had: a cable may be plugged in when the agent runs.
    """

    def __init__(self) -> None:
        """Nothing is watched until :meth:`start`."""
        self._notices: KernelNotices | None = None
        self._up: set[int] = set()
        """Those that are known to have a carrier."""
        self._listeners: list[Callable[[int], None]] = []
        self._watchers: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin to watch."""
        self._notices = KernelNotices(socket.NETLINK_ROUTE, _GROUP_LINK, self.take, self._missed)

    def listen(self, came_up: Callable[[int], None]) -> None:
        """Call ``came_up`` with the interface's index."""
        self._listeners.append(came_up)

    def unlisten(self, came_up: Callable[[int], None]) -> None:
        """Undo :meth:`listen`."""
        self._listeners.remove(came_up)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when something of a link may have changed: its carrier, its MAC, its being there at all."""
        self._watchers.append(changed)

    def unwatch(self, changed: Callable[[], None]) -> None:
        """Undo :meth:`watch`."""
        self._watchers.remove(changed)

    def close(self) -> None:
        """End the watch."""
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    def _missed(self) -> None:
        """Each link is taken for one that came up."""
        self._up.clear()
        self._notify(0)
        self._tell_watchers()

    def take(self, datagram: bytes) -> None:
        """What the kernel has told."""
        links = parse_links(datagram)
        if links:
            self._tell_watchers()
        for index, up in links:
            if not up:
                self._up.discard(index)
            elif index not in self._up:
                self._up.add(index)
                self._notify(index)

    def _notify(self, index: int) -> None:
        for came_up in list(self._listeners):
            came_up(index)

    def _tell_watchers(self) -> None:
        for changed in list(self._watchers):
            changed()
