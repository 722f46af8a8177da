"""Notices links that come up, and links that change, from the kernel's own notifications (rtnetlink(7))."""

import asyncio
import socket
import struct
from collections.abc import Callable

from manager import netlink_messages

_LINK = struct.Struct("=BxHiII")
_NEW_LINK = 16
_DELETED_LINK = 17
_GROUP_LINK = 1
_LOWER_UP = 0x10000
_RECEIVED_MOST = 1 << 16


def parse_links(datagram: bytes) -> list[tuple[int, bool]]:
    """Index and carrier of each link that a datagram of notifications tells of; what is none is left out."""
    found = []
    for kind, body in netlink_messages.messages(datagram):
        if kind in (_NEW_LINK, _DELETED_LINK) and len(body) >= _LINK.size:
            _, _, index, flags, _ = _LINK.unpack_from(body)
            found.append((index, kind == _NEW_LINK and bool(flags & _LOWER_UP)))
    return found


class LinkWatch:
    """Calls back when a link that was down has a carrier again, and at each change; one for an agent, on the loop."""

    def __init__(self) -> None:
        """Nothing is watched until :meth:`start`."""
        self._socket: socket.socket | None = None
        self._down: set[int] = set()
        self._listeners: list[Callable[[int], None]] = []
        self._watchers: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin to watch."""
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _GROUP_LINK))
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

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
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            datagram = self._socket.recv(_RECEIVED_MOST)
        except BlockingIOError:
            return
        except OSError:
            # ENOBUFS: notifications were lost, and which is unknown. Take each link for one that came up.
            self._notify(0)
            self._tell_watchers()
            return
        links = parse_links(datagram)
        if links:
            self._tell_watchers()
        for index, up in links:
            if not up:
                self._down.add(index)
            elif index in self._down:
                self._down.discard(index)
                self._notify(index)

    def _notify(self, index: int) -> None:
        for came_up in list(self._listeners):
            came_up(index)

    def _tell_watchers(self) -> None:
        for changed in list(self._watchers):
            changed()
