"""With whom this replicator has no stream just now, and why: what its agent shows to the operator.

It keeps, for each other end, the last reason and since when connections with it come to nothing. It forgets an end
with which a connection is good, and one that has not tried again for a while: what it says is so now. It decides
nothing, and is not used while a stream stands.
"""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from manager.model.refused_streams import (
    CLOSED,
    HERE,
    NOBODY,
    SILENT,
    THERE,
    TOLD,
    UNREACHABLE,
    RefusedStream,
)
from manager.pki import tls_words

MOST: Final = 8
"""Other ends that are remembered: there is one peer, and who else comes to the port is of no use for long. Nodes that
this one connects to are known by name; who comes to its port, by its address alone: each is a stranger."""
LASTS_S: Final = 15.0
"""Without another one for so long it is over: a primary tries every three seconds at the least, and its agent has it
begin anew now and then, which is no end of it. One that takes the connection and says nothing, it leaves after the peer
timeout only, which is added to this."""
TOLD_AFTER_S: Final = 2.0
"""What is over sooner is part of every start."""
_SAYS_LITTLE: Final = frozenset({CLOSED, SILENT, UNREACHABLE, "tls_closed", "tls_failed", "protocol"})
"""Neither end has said who refuses whom. May come in between, of a connection that is closed for a reason which was
told on the one before."""


@dataclass(slots=True)
class _End:
    told: RefusedStream
    first: float
    last: float


class Refusals:
    """Of one replicator."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], str] | None = None,
        peer_timeout_s: float = 0.0,
    ) -> None:
        """``clock`` in seconds; ``wall``: the time of the day, for people."""
        self._lasts_s = LASTS_S + peer_timeout_s
        self._clock = clock
        self._wall = wall or _utc_now
        self._ends: dict[str, _End] = {}

    def note(self, address: str, kind: str, reason: str, by: str, node: str = "") -> None:
        """A connection with ``node``, or with whoever is at ``address``, has come to nothing."""
        now, address = self._clock(), _plain(address)
        self._expire(now)
        key = node or address
        known = self._ends.pop(key, None)
        if known is None:
            if not self._make_room(is_node=bool(node)):
                return
            known = _End(RefusedStream(node, address, kind, reason, by, self._wall(), 0), now, now)
        elif kind in _SAYS_LITTLE and known.told.kind not in _SAYS_LITTLE:
            kind, reason, by = known.told.kind, known.told.reason, known.told.by
        told = RefusedStream(node, address, kind, reason, by, known.told.since, known.told.count + 1)
        self._ends[key] = _End(told, known.first, now)  # the last one noted is the last one to be given up

    def _make_room(self, *, is_node: bool) -> bool:
        """By dropping the one noted longest ago, strangers first; no node has to go for a stranger."""
        if len(self._ends) < MOST:
            return True
        strangers = (key for key, end in self._ends.items() if not end.told.node)
        oldest = next(strangers, next(iter(self._ends)) if is_node else None)
        if oldest is None:
            return False
        del self._ends[oldest]
        return True

    def note_words(self, node: str, address: str, reason: str) -> None:
        """A connection to ``node`` ended before its stream began, for the ``reason`` that the log has."""
        kind, by = kind_of(reason)
        self.note(address, kind, reason, by, node)

    def clear(self, *, node: str = "", address: str = "") -> None:
        """A connection with it is good, or none is wanted any more."""
        for key in (node, _plain(address)):
            if key:
                self._ends.pop(key, None)

    def standing(self) -> tuple[RefusedStream, ...]:
        """Those that last, by now."""
        now = self._clock()
        self._expire(now)
        return tuple(end.told for end in self._ends.values() if end.last - end.first >= TOLD_AFTER_S)

    def _expire(self, now: float) -> None:
        for key in [key for key, end in self._ends.items() if now - end.last > self._lasts_s]:
            del self._ends[key]


def kind_of(reason: str) -> tuple[str, str]:
    """What is in the way, and who refuses, by the words in which a connection's end was told."""
    if reason.startswith(_REFUSED):
        return reason.removeprefix(_REFUSED).partition(":")[0], THERE
    told = tls_words.told_in(reason)
    return (told, THERE) if told else (CLOSED, NOBODY)


def by_of(kind: str) -> str:
    """Who refuses, by what this node found of the other end."""
    if kind.startswith(TOLD):
        return THERE
    return NOBODY if kind in _SAYS_LITTLE else HERE


_REFUSED: Final = "refused: "
"""As ``replicator.peer`` tells the other end's answer to its Hello."""


def _plain(address: str) -> str:
    """An IPv4 address that came to a socket of both families, as it is written elsewhere."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _utc_now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")
