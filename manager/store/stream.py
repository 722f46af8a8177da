"""A watch stream: gRPC's blocking iterator on a thread of its own, read from the event loop.

It knows nothing of keys and revisions, and opens nothing again: it ends once, and says how.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from manager.store.translate import Message


class Stream:
    """One stream of responses to one request."""

    def __init__(self, method: Any, request: Message, lifetime_s: float, metadata: tuple[tuple[str, str], ...]) -> None:
        """Open it; to be called on the event loop. After ``lifetime_s`` it ends with ``DEADLINE_EXCEEDED``."""
        self._loop = asyncio.get_running_loop()
        self._responses: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self._end_actions: list[Callable[[], None]] = []
        self._over = threading.Event()
        self._call = method(self._requests(request), timeout=lifetime_s, metadata=metadata)
        self._thread = threading.Thread(target=self._pump, name="etcd-watch", daemon=True)
        self._thread.start()

    def on_end(self, action: Callable[[], None]) -> None:
        """Do ``action`` on the event loop once the stream has ended."""
        self._end_actions.append(action)

    async def next(self) -> Message | None:
        """The next response; ``None`` when the server ended the stream.

        Raises:
            grpc.RpcError: the stream ended with an error.
            Exception: another one is a defect, which must not look like silence.
        """
        while not self._responses:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._responses.popleft()

    def cancel(self) -> None:
        """End it soon, with ``CANCELLED``."""
        self._call.cancel()

    async def close(self) -> None:
        """End it; returns when its threads have nothing left to do."""
        self.cancel()
        while not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        # Its last act was to say that it ended.
        self._thread.join()

    def _requests(self, request: Message) -> Iterator[Message]:
        """On a thread of gRPC's: the one request, then silence, since the end of the requests ends the stream."""
        yield request
        self._over.wait()

    def _pump(self) -> None:
        """On the stream's own thread."""
        error = None
        try:
            for response in self._call:
                self._post(self._receive, response)
        except Exception as raised:  # the root of this thread
            error = raised
        self._over.set()
        self._post(self._end, error)

    def _post(self, action: Callable[[Any], None], argument: object) -> None:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action, argument)

    def _receive(self, response: Message) -> None:
        self._responses.append(response)
        self._arrived.set()

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._error = error
        self._arrived.set()
        for action in self._end_actions:
            action()
