"""The kernel's own notifications, by netlink (netlink(7)): what it tells, and that some were lost."""

import socket
from collections.abc import Callable

from agent.adapters.wakes import Wakes

_RECEIVED_MOST = 1 << 16


class KernelNotices:
    """Of one family's groups. On the event loop."""

    def __init__(self, family: int, groups: int, take: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        """``take`` is given each datagram; ``missed`` is called when some were lost, and which is unknown (ENOBUFS).

        Raises:
            OSError: the kernel does not notify.
        """
        self._take, self._missed = take, missed
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.socket = socket.socket(socket.AF_NETLINK, kind, family)
        try:
            self.socket.bind((0, groups))
        except OSError:
            self.socket.close()
            raise
        self._wakes = Wakes(self.socket, self._readable)

    def close(self) -> None:
        """Call no more."""
        self._wakes.close()
        self.socket.close()

    def _readable(self) -> None:
        try:
            datagram = self.socket.recv(_RECEIVED_MOST)
        except BlockingIOError:
            return
        except OSError:
            self._missed()
            return
        self._take(datagram)
