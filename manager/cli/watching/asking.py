"""Asks the agent for the state again and again, in a thread of its own: the screen has to go on while the agent hangs.

One question at a time, and none sooner than the interval after the one before. It is waited for an answer for as long
as that takes: an agent that was stopped answers once it goes on, and its socket is not filled with questions meanwhile.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from manager.cli.client import AgentClient
from manager.model.api import ApiError, ErrorKind, StateArguments, StateResult

PASSING = frozenset({ErrorKind.UNREACHABLE, ErrorKind.TIMED_OUT, ErrorKind.STORE_UNREACHABLE, ErrorKind.BUSY})
"""Errors that may be over at the next question."""
_END_S = 1.0
"""So long the end waits for the thread; it dies with the process."""

Outcome = StateResult | ApiError


class Asking:
    """The thread."""

    def __init__(
        self, client: AgentClient, arguments: StateArguments, every_s: float, wake: Callable[[], None]
    ) -> None:
        """``client`` is the thread's alone until :meth:`close`; ``wake``: called from the thread after each outcome."""
        self._client = client
        self._arguments = arguments
        self._every_s = every_s
        self._wake = wake
        self._outcomes: deque[Outcome | Exception] = deque()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="asking", daemon=True)

    def __enter__(self) -> "Asking":
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Ask no more; what is asked for just now is given up."""
        self._ended.set()
        self._client.interrupt()
        self._thread.join(_END_S)

    def next(self) -> Outcome | None:
        """The next outcome that has come in; ``None``: there is no other one yet.

        Raises:
            ApiError: one that does not pass by waiting.
        """
        if not self._outcomes:
            return None
        outcome = self._outcomes.popleft()
        if isinstance(outcome, StateResult) or (isinstance(outcome, ApiError) and outcome.kind in PASSING):
            return outcome
        raise outcome

    def _ask(self) -> None:
        """The first question comes an interval after the start: what is shown first was asked for just before."""
        begun_s = time.monotonic()
        while not self._ended.wait(max(0.0, begun_s + self._every_s - time.monotonic())):
            begun_s = time.monotonic()
            try:
                self._outcomes.append(self._client.call(self._arguments, timeout_s=None, given_up=self._ended.is_set))
            except BrokenPipeError:
                return  # given up
            except Exception as error:  # the root of the thread: raised where it is taken
                self._outcomes.append(error)
            if not self._ended.is_set():
                self._wake()
