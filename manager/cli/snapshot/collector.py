"""Has each thing of a node's snapshot made within its time, and puts it into the file without its secrets, and bounded.

What cannot be had is noted with its reason, and the next thing is begun: nothing here waits for ever, for no disk and
no agent. What hangs is left behind in a thread of its own. It does not know what the things are.
"""

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from manager.cli.snapshot.lacking import Lacking, NotHad, lacking_text
from manager.cli.snapshot.masking import masked, masked_json
from manager.model.codec import to_plain
from manager.model.errors import MirrorfarmError

T = TypeVar("T")

ITEM_S: Final = 15.0
MOST_BYTES: Final = 8 << 20
"""Of one thing."""
LACKING: Final = "lacking.json"


class Collector:
    """One node's."""

    def __init__(
        self,
        put: Callable[[str, bytes], None],
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``put``: takes a name and its content; ``seconds``: for all of it."""
        self._put = put
        self._seconds = seconds
        self._monotonic = monotonic
        self._end = monotonic() + seconds
        self.lacking: list[Lacking] = []

    def had(self, what: str, make: Callable[[], T], seconds: float = ITEM_S) -> T | None:
        """What ``make`` gives; ``None``: nothing within ``seconds``, and it is noted why."""
        left = min(seconds, self._end - self._monotonic())
        if left <= 0:
            self.note(what, f"the {self._seconds:g} s for this node were over")
            return None
        try:
            return within(left, make)
        except NotHad as lack:
            self.note(what, str(lack))
            return None

    def text(self, what: str, make: Callable[[], str], seconds: float = ITEM_S) -> None:
        """A text."""
        self._take(what, lambda: masked(make()), seconds)

    def json(self, what: str, make: Callable[[], str], seconds: float = ITEM_S) -> None:
        """A text that is JSON."""
        self._take(what, lambda: masked_json(make()), seconds)

    def record(self, what: str, make: Callable[[], object], seconds: float = ITEM_S) -> None:
        """A dataclass, or what is made of some."""
        self.json(what, lambda: json.dumps(to_plain(make())), seconds)

    def clean(self, what: str, make: Callable[[], str], seconds: float = ITEM_S) -> None:
        """A text that has no secrets any more."""
        self._take(what, make, seconds)

    def note(self, what: str, why: str) -> None:
        """Something could not be had."""
        self.lacking.append(Lacking(what, why))

    def close(self) -> None:
        """Put what could not be had into the file."""
        self._put(LACKING, lacking_text(self.lacking))

    def _take(self, what: str, make: Callable[[], str], seconds: float) -> None:
        text = self.had(what, make, seconds)
        if text is None:
            return
        content = text.encode("utf-8", "backslashreplace")
        if len(content) > MOST_BYTES:
            self.note(what, f"only the first {MOST_BYTES >> 20} MiB of {len(content)} bytes")
            content = content[:MOST_BYTES]
        self._put(what, content)


def within(seconds: float, make: Callable[[], T]) -> T:
    """What ``make`` gives.

    Raises:
        NotHad: it took longer, or has failed.
    """
    made: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            made.put(make())
        except Exception as error:  # the root of a thread: it is told to who waits
            made.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = made.get(timeout=seconds)
    except queue.Empty:
        raise NotHad(f"nothing came within {seconds:.3g} s") from None
    if isinstance(result, Exception):
        raise NotHad(_words(result)) from result
    return result


def _words(error: Exception) -> str:
    if isinstance(error, NotHad | MirrorfarmError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'it'}: {error.strerror or error}"
    return f"{type(error).__name__}: {error}"
