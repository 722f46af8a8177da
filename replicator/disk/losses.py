"""What one file system has failed to write back since this process has it, remembered until it is settled.

The kernel tells each descriptor once, and one that is opened after somebody was told of nothing. Who was told may have
ended meanwhile: a join, a stream, a role. So a join that trusts what is in memory asks here; one that has compared
everything as it is on the disk settles what there was. What follows from a loss is not known here.
"""

import threading
from collections.abc import Callable


class Losses:
    """Of one replicated directory. All of it blocks; any thread."""

    def __init__(self, sync: Callable[[], None]) -> None:
        """``sync`` brings everything to the disk, and raises OSError once for what was lost since the call before."""
        self._sync = sync
        self._lock = threading.Lock()
        self._known: OSError | None = None

    def check(self) -> None:
        """Brings everything to the disk. Raises OSError where something was lost, now or before, and not settled."""
        with self._lock:
            self._ask()
            if self._known is not None:
                raise OSError(self._known.errno, self._known.strerror)

    def settle(self) -> None:
        """What was lost until now has been found by comparing, or will be told by a watch that was set before."""
        with self._lock:
            self._ask()
            self._known = None

    def _ask(self) -> None:
        try:
            self._sync()
        except OSError as error:
            self._known = error
