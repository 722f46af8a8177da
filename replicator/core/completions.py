"""Which operations may be applied here and completed: after whom they wait, in what order, and when no more.

Pure: told of issues, acknowledgements, losses and settled records, it says what is released. An item (whatever the
caller gave) is released once, in the order of issue, when every *required* node has acknowledged it (S2): the
holders of the last settled record, and the nodes past their join point. A required node without a complete stream
holds everything until a settled record leaves it out, for while the answer is unknown it counts as a member. A
joining node is not waited for, but its stream's socket is: what it has not taken yet would have to be kept here.

It also holds the gate: while there is a reason for it, what comes is not issued but waits, in order.

It knows nothing of sockets, sequences on them, files or time. The simulation runs this very object.
"""

import enum
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Generic, TypeVar

from manager.model.errors import InvariantViolated

T = TypeVar("T")
_ALL: Final = sys.maxsize


class Gate(enum.Enum):
    """Why nothing more is issued."""

    FROZEN = enum.auto()
    """The agent prepares a hand-over."""
    QUIET = enum.auto()
    """Somebody waits for a moment in which nothing is under way."""
    REPAIR = enum.auto()
    """The peer has something that failed here, until it is repaired."""
    MARK = enum.auto()
    """What the next operation changes is to be noted on the disk first, as something that a peer may lack."""


class _Stream:
    """One that stands."""

    __slots__ = ("acknowledged", "complete", "sent")

    def __init__(self, place: int) -> None:
        self.acknowledged = place
        """Up to which place the node has applied everything."""
        self.sent = place
        """Up to which place its socket has taken everything; counts while it is joining."""
        self.complete = False
        """Past its join point."""


class Completions(Generic[T]):
    """The order of one primary, for one epoch. Places in it count from 1."""

    __slots__ = (
        "_gates",
        "_holders",
        "_number",
        "_only",
        "_queue",
        "_required",
        "_streams",
        "_waiting",
        "fenced",
        "gated",
        "issued",
        "limit",
        "released",
    )

    def __init__(self) -> None:
        self._queue: deque[T] = deque()
        self._streams: dict[str, _Stream] = {}
        self._holders: frozenset[str] = frozenset()
        self._required: frozenset[str] = frozenset()
        self._number = -1
        self._only: _Stream | None = None
        """The one whose acknowledgement is the limit, in the common case."""
        self._gates: set[Gate] = set()
        self._waiting: deque[T] = deque()
        self.issued = 0
        """The last place that was given. Read it only."""
        self.limit = 0
        """Up to which place everything may be released. Read it only."""
        self.released = 0
        """The place up to which everything was released. Read it only."""
        self.gated = False
        """Whether what comes has to wait (:meth:`wait`). Read it only."""
        self.fenced = False
        """Nothing is released any more. Set by :meth:`fence`, from any thread."""

    # The order

    def issue(self, item: T) -> int:
        """``item`` is next; its place. The caller has made sure that it is not gated."""
        self._queue.append(item)
        self.issued += 1
        return self.issued

    def release(self) -> list[T]:
        """What may be applied and completed now, in order; each item is given once."""
        limit = self.limit
        if limit > self.issued:
            limit = self.issued
        count = limit - self.released
        if count <= 0 or self.fenced:
            return []
        self.released = limit
        take = self._queue.popleft
        if count == 1:
            return [take()]
        return [take() for _ in range(count)]

    def acknowledged(self, node: str, place: int) -> None:
        """``node`` has applied everything up to ``place``."""
        stream = self._streams[node]
        if place < stream.acknowledged or place > self.issued:
            raise InvariantViolated(f"{node} acknowledges {place}: {stream.acknowledged} to {self.issued} were due")
        stream.acknowledged = place
        if stream is self._only:
            self.limit = place
        else:
            self._reckon()

    def sent(self, node: str, place: int) -> None:
        """The socket of ``node``, which is joining, has taken everything up to ``place``."""
        stream = self._streams[node]
        stream.sent = max(stream.sent, place)
        self._reckon()

    @property
    def idle(self) -> bool:
        """Whether everything that was issued has been released."""
        return not self._queue

    @property
    def under_way(self) -> Sequence[T]:
        """What was issued and is not released, in order."""
        return self._queue

    # Who is waited for

    @property
    def required(self) -> frozenset[str]:
        """The nodes without whose acknowledgement nothing completes."""
        return self._required

    @property
    def holders(self) -> frozenset[str]:
        """The nodes beside this one that the last settled record lists: each may go on without this one."""
        return self._holders

    @property
    def known(self) -> bool:
        """Whether a record was settled: before, nothing completes."""
        return self._number >= 0

    @property
    def held(self) -> bool:
        """Whether nothing completes until the record is settled anew."""
        return self._number < 0 or not self._required <= self._complete()

    @property
    def missing(self) -> frozenset[str]:
        """The required nodes that have no complete stream."""
        return self._required - self._complete()

    def attach(self, node: str) -> None:
        """A stream to ``node`` begins, as joining: it is sent all that is issued from here on.

        At a moment when nothing is under way, since it was not sent what is.
        """
        if node in self._streams or self._queue:
            raise InvariantViolated(f"attach of {node} with {len(self._queue)} operations under way")
        self._streams[node] = _Stream(self.issued)
        self._reckon()

    def join_point(self, node: str) -> None:
        """``node`` has all that was before: from here on it is required."""
        self._streams[node].complete = True
        self._require(self._required | {node})

    def lost(self, node: str) -> None:
        """The stream to ``node`` is gone. If it is required, everything is held."""
        del self._streams[node]
        self._reckon()

    def takes_out(self, number: int, holders: Iterable[str]) -> bool:
        """Whether a record with this ``number`` and ``holders``, once settled, lacks a node that the last one lists."""
        return number >= self._number and not self._holders <= frozenset(holders)

    def settled(self, number: int, holders: Iterable[str]) -> None:
        """The record with this ``number`` lists the ``holders`` (without this node); an older one changes nothing."""
        if number < self._number:
            return
        self._number = number
        self._holders = frozenset(holders)
        self._require(self._holders | self._complete())

    def fence(self) -> None:
        """Nothing is released any more. May be called in any thread: one assignment."""
        self.fenced = True

    def _complete(self) -> frozenset[str]:
        return frozenset(node for node, stream in self._streams.items() if stream.complete)

    def _require(self, nodes: frozenset[str]) -> None:
        self._required = nodes
        self._reckon()

    def _reckon(self) -> None:
        """Sets the limit."""
        streams = self._streams
        self._only = None
        if self._number < 0:
            self.limit = self.released
            return
        for node in self._required:
            if node not in streams or not streams[node].complete:
                self.limit = self.released
                return
        limit = _ALL
        for stream in streams.values():
            reached = stream.acknowledged if stream.complete else stream.sent
            limit = min(limit, reached)
        self.limit = limit
        if len(streams) == 1 and stream.complete:
            self._only = stream

    # The gate

    def shut(self, reason: Gate) -> None:
        """What comes waits from now on."""
        self._gates.add(reason)
        self.gated = True

    def open(self, reason: Gate) -> None:
        """``reason`` is over. What waited comes first: see :meth:`next_waiting`."""
        self._gates.discard(reason)
        self.gated = bool(self._gates or self._waiting)

    def is_shut(self, reason: Gate) -> bool:
        """Whether ``reason`` shuts the gate."""
        return reason in self._gates

    def wait(self, item: T) -> None:
        """``item`` has to wait behind the gate."""
        self._waiting.append(item)

    def wait_first(self, item: T) -> None:
        """``item``, which was next, has to wait: nothing overtakes it."""
        self._waiting.appendleft(item)

    def next_waiting(self) -> T | None:
        """The next that waited, to be issued now; ``None`` while the gate is shut, or when there is none left.

        Others stay gated until the last of these is issued, so that nothing overtakes them.
        """
        if self._gates:
            return None
        if self._waiting:
            return self._waiting.popleft()
        self.gated = False
        return None
