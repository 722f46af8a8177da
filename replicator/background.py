"""What may block, beside the loop: fsync, cold reads, statfs, unmounting.

An fsync goes to the kernel's own asynchronous I/O, which costs no change of threads (measured: 160 us instead of 200
for a write and its fsync); all else goes to threads. It decides nothing. Threads are made when there is work and none
is free, up to a number; what waits is bounded by what the callers have under way. They are daemons: one that hangs on
a dead disk must not keep the process alive.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from replicator.disk.applying import sync_and_close
from replicator.disk.linux import SyncQueue

_T = TypeVar("_T")
DEFAULT_THREADS: Final = 16
MOST_SYNCS: Final = 128
"""In the kernel's queue; more go to the threads."""
Failed = Callable[[OSError], None]


class Background:
    """Runs work in threads and answers on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int = DEFAULT_THREADS) -> None:
        self._loop = loop
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[Callable[[], Callable[[], None]] | None] = SimpleQueue()
        self._under_way = 0
        self._closed = False
        self._idle: asyncio.Future[None] | None = None
        self._queue = _sync_queue()
        self._syncs: dict[int, tuple[Callable[[None], None], Failed]] = {}
        self._last_sync = 0
        if self._queue is not None:
            loop.add_reader(self._queue.eventfd, self._synced)

    @property
    def under_way(self) -> int:
        """How many pieces of work were given and are not answered."""
        return self._under_way

    def run(self, work: Callable[[], _T], done: Callable[[_T], None], failed: Callable[[OSError], None]) -> None:
        """Calls ``work`` in a thread, then on the loop ``done`` with its result or ``failed`` with its OSError.

        Called on the loop. Any other exception of ``work`` is raised on the loop, as a broken invariant. After
        :meth:`close` nothing is run nor answered.
        """
        if self._closed:
            return
        self._under_way += 1

        def attempt() -> Callable[[], None]:
            try:
                result = work()
            except OSError as error:
                return _call(failed, error)
            except BaseException as error:
                return _raise(error)
            return _call(done, result)

        if self._under_way > len(self._threads) < self._most:
            name = f"background-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put(attempt)

    def sync(self, file: int, data_only: bool, done: Callable[[None], None], failed: Failed) -> None:
        """As :meth:`run` for fsync(2) or fdatasync(2) of ``file``, which is closed here."""
        if self._closed or self._submit(file, data_only, done, failed):
            os.close(file)
        else:
            self.run(partial(sync_and_close, file, data_only), done, failed)

    def _submit(self, file: int, data_only: bool, done: Callable[[None], None], failed: Failed) -> bool:
        if self._queue is None or len(self._syncs) >= MOST_SYNCS:
            return False
        number = self._last_sync + 1
        try:
            self._queue.submit(number, file, data_only)
        except OSError:  # a full queue, or a file system without it: a thread says what is wrong, if anything is
            return False
        self._last_sync = number
        self._syncs[number] = (done, failed)
        self._under_way += 1
        return True

    def _synced(self) -> None:
        assert self._queue is not None
        for number, result in self._queue.ended():
            done, failed = self._syncs.pop(number)
            if result < 0:
                self._answer(_call(failed, OSError(-result, os.strerror(-result))))
            else:
                self._answer(_call(done, None))

    async def at_rest(self) -> None:
        """Returns when all that was given is answered. For one at a time."""
        while self._under_way:
            self._idle = self._loop.create_future()
            await self._idle

    def close(self) -> None:
        """Ends the threads when each has finished what it does; answers that are not given by then are dropped."""
        self._closed = True
        if self._queue is not None:
            self._loop.remove_reader(self._queue.eventfd)
            self._queue.close()
            self._queue = None
        for _ in self._threads:
            self._work.put(None)

    def _serve(self) -> None:
        while (attempt := self._work.get()) is not None:
            answer = attempt()
            try:
                self._loop.call_soon_threadsafe(self._answer, answer)
            except RuntimeError:  # the loop is closed: nobody is there to be answered
                return

    def _answer(self, answer: Callable[[], None]) -> None:
        self._under_way -= 1
        if not self._closed:
            answer()
        if not self._under_way and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


def _sync_queue() -> SyncQueue | None:
    """``None`` where the kernel has none to give."""
    try:
        return SyncQueue(MOST_SYNCS)
    except OSError:
        return None


def _call(function: Callable[[Any], None], argument: Any) -> Callable[[], None]:
    return lambda: function(argument)


def _raise(error: BaseException) -> Callable[[], None]:
    def answer() -> None:
        raise error

    return answer
