"""The module's warden: at the deadline nothing of a former primary is left that serves (S7).

A thread of its own, so that a loop which hangs does not matter. The deadline is CLOCK_BOOTTIME, which counts the time
that the machine was suspended; no wait is longer than :data:`LONGEST_WAIT_SECONDS`, since a wait does not count it.
It knows no epochs, leases or peers: it is told a deadline, or to fence at once, and then does all of it, in this
order, whatever fails on the way:

1. the flag: :attr:`Warden.fenced` is read before each completion and each apply;
2. the virtual addresses are removed; the rest waits for that only so long, and they have a lifetime in the kernel;
3. SIGKILL to the application's cgroup;
4. the connections of the mounts are aborted: a process in a held write dies only then;
5. a bounded wait for the cgroup to be empty;
6. the mounts are detached. Below are plain directories, where the call that a killed process is in would still be done;
7. a bounded wait for the addresses to be gone;
8. the report.

It needs nobody for that: its agent may be dead, frozen or absent. Clients' connections to the addresses are not reset
here: the agent does that, or else the node that has the address next.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from replicator.addresses import AddressRemover

LONGEST_WAIT_SECONDS: Final = 0.2
EMPTY_WITHIN_SECONDS: Final = 5.0
"""How long is waited for the killed processes to be gone, before the report says that some are left."""
_LOOK_SECONDS: Final = 0.01
ADDRESSES_FIRST_SECONDS: Final = 0.03
"""How long the removal of the addresses may hold up the rest; it takes about one millisecond."""
ADDRESSES_WITHIN_SECONDS: Final = 1.0
"""How long is waited for it in the end, before the report says that they are left."""


class Mounted(Protocol):
    """A mounted file system, as far as the warden is concerned. Called in the warden's thread."""

    def cut(self) -> None:
        """Every request under way and to come fails. Raises OSError."""
        ...

    def abort(self) -> None:
        """As :meth:`cut`, and the mount is detached. Raises OSError."""
        ...


def boottime_ns() -> int:
    """CLOCK_BOOTTIME now, in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Warden:
    """Fences at a deadline, or when told."""

    def __init__(
        self,
        cgroup: str,
        addresses: AddressRemover,
        on_fenced: Callable[[str], None],
        clock: Callable[[], int] = boottime_ns,
    ) -> None:
        """``cgroup`` is the application's directory in cgroup2, empty for none; ``addresses`` is not started yet.

        ``on_fenced`` is called once for each fencing, in the warden's thread, with the reason and what failed.
        """
        self._addresses = addresses
        self._cgroup = cgroup
        self._on_fenced = on_fenced
        self._clock = clock
        self._changed = threading.Condition()
        self._deadline_ns: int | None = None
        self._mounted: tuple[Mounted, ...] = ()
        self._reason = ""
        self._stopped = False
        self._thread: threading.Thread | None = None
        self.fenced = False
        """Nothing may be completed or applied any more. Set before anything else is done; read on the loop."""

    def start(self) -> None:
        """Starts the threads."""
        self._addresses.start()
        self._thread = threading.Thread(target=self._watch, name="warden", daemon=True)
        self._thread.start()

    def guard(self, deadline_ns: int, mounted: Sequence[Mounted]) -> None:
        """From now on ``mounted`` serves until the deadline (CLOCK_BOOTTIME nanoseconds), unless it is renewed."""
        with self._changed:
            self._mounted = tuple(mounted)
            self._deadline_ns = deadline_ns
            self._changed.notify()

    def renew(self, deadline_ns: int) -> None:
        """The new deadline. Too late once fenced; nothing without :meth:`guard` before."""
        with self._changed:
            if self._deadline_ns is not None:
                self._deadline_ns = deadline_ns
                self._changed.notify()

    def is_due(self) -> bool:
        """Whether the deadline has passed, or it is fenced. For any thread, without waiting for this one."""
        deadline_ns = self._deadline_ns
        return self.fenced or (deadline_ns is not None and self._clock() >= deadline_ns)

    def fence(self, reason: str) -> None:
        """Fences now, in the warden's thread; the flag is set when this returns."""
        self.fenced = True
        with self._changed:
            self._reason = self._reason or reason
            self._changed.notify()

    def stand_down(self) -> None:
        """There is nothing to guard any more: not a primary, or cleanly unmounted."""
        with self._changed:
            self._deadline_ns = None
            self._mounted = ()

    def stop(self) -> None:
        """Ends the threads; what the warden is doing is finished first."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._addresses.stop()

    def _watch(self) -> None:
        while True:
            with self._changed:
                reason = self._due()
                while not reason and not self._stopped:
                    self._changed.wait(self._wait_seconds())
                    reason = self._due()
                if not reason:
                    return
                self.fenced = True
                mounted = self._mounted
            self._addresses.begin()
            self._addresses.wait(ADDRESSES_FIRST_SECONDS)
            failures = self._kill() + _each(one.cut for one in mounted)
            failures += self._await_empty() + _each(one.abort for one in mounted)
            self._addresses.wait(ADDRESSES_WITHIN_SECONDS)
            failures += self._addresses.failures
            with self._changed:
                self._deadline_ns = None
                self._mounted = ()
                self._reason = ""
            self._on_fenced("; ".join([reason, *failures]))

    def _due(self) -> str:
        """Why to fence now; empty: there is no reason."""
        if self._reason:
            return self._reason
        if self._deadline_ns is not None and self._clock() >= self._deadline_ns:
            return "the deadline passed"
        return ""

    def _wait_seconds(self) -> float | None:
        if self._deadline_ns is None:
            return None
        left = (self._deadline_ns - self._clock()) / 1e9
        return max(0.0, min(left, LONGEST_WAIT_SECONDS))

    def _kill(self) -> list[str]:
        if not self._cgroup:
            return []
        try:
            with open(os.path.join(self._cgroup, "cgroup.kill"), "w", encoding="ascii") as kill:
                kill.write("1")
        except FileNotFoundError:
            return []  # no application was started
        except OSError as error:
            return [f"kill of {self._cgroup}: {error.strerror}"]
        return []

    def _await_empty(self) -> list[str]:
        if not self._cgroup:
            return []
        for _ in range(int(EMPTY_WITHIN_SECONDS / _LOOK_SECONDS)):
            if not self._populated():
                return []
            time.sleep(_LOOK_SECONDS)
        return [f"processes are left in {self._cgroup}"]

    def _populated(self) -> bool:
        try:
            with open(os.path.join(self._cgroup, "cgroup.events"), encoding="ascii") as events:
                return "populated 1" in events.read()
        except OSError:
            return False


def _each(aborts: Iterable[Callable[[], None]]) -> list[str]:
    """Does all of them; what failed, in words."""
    failures = []
    for abort in aborts:
        try:
            abort()
        except OSError as error:
            failures.append(f"abort: {error}")
    return failures
