"""Calls back when there is something to be read of a socket; an error is something to be read, and ends nothing.

libuv takes a socket with an error for one that is broken, and never looks at it again (uv__poll_io()); of an epoll that
waits for the socket it sees only that there is something. An error may be one datagram's, or say that some were lost.
"""

import asyncio
import select
import socket
from collections.abc import Callable


class Wakes:
    """Of one socket. On the event loop."""

    def __init__(self, watched: socket.socket, readable: Callable[[], None]) -> None:
        """``readable`` is called for as long as there is something; it reads of ``watched``, which does not block."""
        self._epoll = select.epoll()
        self._epoll.register(watched, select.EPOLLIN)
        asyncio.get_running_loop().add_reader(self._epoll, readable)

    def close(self) -> None:
        """Call no more; before the socket is closed."""
        if not self._epoll.closed:
            asyncio.get_running_loop().remove_reader(self._epoll)
            self._epoll.close()
