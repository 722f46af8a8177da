"""What joins that broke off have put out of the way here, and what of it has to go before the next one begins.

It is kept to be found there again (``replicator.disk.limbo``): so it need not be copied anew. Not where it has taken
the room that a join lacked: nothing of it is deleted before a join's end, and so none would come to one. Nor where
there is so much of it that its primary would not wait until a join has looked through it. Then it is deleted, in a
thread, and no stream is taken before it is gone; what had only been moved is copied after that, as what is missing is.
"""

import errno
import threading
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from replicator.copy_ports import Background
from replicator.disk.limbo import delete_discarded, discard_limbo, has_leftovers, is_crowded
from replicator.peers import Note

MOST: Final = 100_000
"""Names: a join looks through so many within a second (measured: 9 us each, beside other work)."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: OSError) -> bool:
    """Whether something was refused for want of room."""
    return error.errno in _FULL


class Disk(Protocol):
    """A replicated directory, as far as this is concerned."""

    @property
    def private_fd(self) -> int:
        """Of its ``.mirrorfarm/``."""
        ...


class Leftovers:
    """Of one module on this node. All methods are for the loop."""

    def __init__(self, disks: Sequence[Disk], background: Background, warn: Note) -> None:
        """Looks at nothing yet. ``warn`` is the log's."""
        self._private: Final = tuple(disk.private_fd for disk in disks)
        self._background = background
        self._warn = warn
        self._wanted = False
        """To be looked at as soon as nothing is under way."""
        self._ending: threading.Event | None = None
        """Of what is under way: it is to come to its end."""

    def why_not(self) -> str:
        """Why no join may begin for now; empty: one may."""
        return "what joins that broke off have left is being deleted" if self._ending is not None else ""

    def lacks_room(self) -> None:
        """A join broke off for want of room: what it has left goes, if not in this process then in the next one."""
        for private in self._private:
            try:
                discard_limbo(private)
            except OSError as error:  # the next join fails as this one did, and it is tried again
                self._warn("limbo.not_discarded", error=str(error))
        self.look()

    def look(self) -> None:
        """While no stream stands: what has to go is being deleted from now on."""
        self._wanted = True
        self._go_on()

    def stop(self) -> None:
        """This node does something else: the rest has time until it follows again."""
        self._wanted = False
        if self._ending is not None:
            self._ending.set()

    def _go_on(self) -> None:
        if self._ending is not None or not self._wanted:
            return
        self._wanted = False
        try:
            if not any(map(has_leftovers, self._private)):
                return
        except OSError as error:  # what is broken, a stream has ended for, or the next one will
            self._warn("limbo.not_deleted", error=str(error))
            return
        self._ending = threading.Event()
        self._background.run(partial(self._delete, self._ending), self._deleted, self._not_deleted)

    def _delete(self, ending: threading.Event) -> None:
        for private in self._private:
            delete_discarded(private, ending.is_set)
            if is_crowded(private, MOST) and not ending.is_set():
                discard_limbo(private)
                delete_discarded(private, ending.is_set)

    def _deleted(self, _: None) -> None:
        self._ending = None
        self._go_on()

    def _not_deleted(self, error: OSError) -> None:
        self._warn("limbo.not_deleted", error=str(error))
        self._deleted(None)
