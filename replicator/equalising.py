"""Makes single inodes of a joining peer equal: their attributes, and what of their content may differ.

Each is found by its place, its attributes are read and sent while nothing is under way on it, so that they are true at
that point of the stream; from there on they follow it, and so does the file's length, up to which what is in its zones
is compared then (``replicator.comparing``). A few are under way at once. One is made equal before its turn where an
operation would fail at the peer else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from manager.model.errors import MirrorfarmError
from replicator.comparing import Comparing
from replicator.copy_ports import Loop, Order
from replicator.core.dirty import Key
from replicator.disk.listing import describe
from replicator.disk.locating import Missed, locate
from replicator.disk.volume import Inode
from replicator.join_ports import JoinPorts
from replicator.lacking import Lacking
from replicator.wire.copying import Equalise, encode_equalise
from replicator.wire.frames import FrameKind

_AT_ONCE: Final = 16
"""Inodes that are held because something is under way on them, or because they are out of reach."""
_MOST_UNDERWAY: Final = 256 << 10
"""Bytes that the peer works on, above which no further inode is taken up."""
_SLICE_S: Final = 0.004
"""How long inodes are looked up before others have their turn."""
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.005


@dataclass(eq=False, slots=True)
class _Item:
    """One inode under way, held."""

    key: Key
    inode: Inode
    attempts: int = 0
    over: bool = False


class Equalising:
    """Of one join."""

    def __init__(self, loop: Loop, order: Order, lacking: Lacking, comparing: Comparing, ports: JoinPorts) -> None:
        self._loop = loop
        self._order = order
        self._lacking = lacking
        self._comparing = comparing
        self._ports = ports
        self._keys: Iterator[Key] = lacking.inodes()
        self._active: dict[_Item, None] = {}
        self._closed = False
        self.underway_bytes = 0
        """Of attributes that the peer has not worked off."""
        self.looked_up = 0
        """How many inodes were taken up."""
        self.bytes_found = 0
        """Of content that is to be compared."""

    @property
    def idle(self) -> bool:
        """Whether nothing is left, nor on its way."""
        return not (self._lacking.has_inodes or self._active or self.underway_bytes)

    @property
    def has_all(self) -> bool:
        """Whether all is taken up."""
        return not (self._lacking.has_inodes or self._active)

    def close(self) -> None:
        """Nothing more is sent: what is held is released."""
        self._closed = True
        active, self._active = self._active, {}
        for item in active:
            item.over = True
            self._ports.release(item.key[0], item.inode)

    def go_on(self, most_waiting: int) -> None:
        """Takes up inodes, as far as the bounds allow: ``most_waiting`` files that wait to be compared."""
        until = self._loop.time() + _SLICE_S
        while len(self._active) < _AT_ONCE and self.underway_bytes < _MOST_UNDERWAY and not self._closed:
            if self._comparing.waiting > most_waiting:
                return
            key = next(self._keys, None)
            if key is None:
                return
            self._take(key)
            if self._loop.time() > until:
                self._ports.advanced()
                return

    def is_due(self, key: Key) -> bool:
        """Whether the inode's attributes at the peer may still be others than here."""
        return self._lacking.awaits(key) or any(item.key == key for item in self._active)

    def send_now(self, key: Key) -> None:
        """At a quiet moment, of one that is due and within reach: what is shipped next needs it equal."""
        if self._lacking.awaits(key):
            self._lacking.forget(key)
            self._take(key)
        for item in [item for item in self._active if item.key == key]:
            self._send(item)

    def _take(self, key: Key) -> None:
        self.looked_up += 1
        index, number = key
        lacking, release = self._lacking, partial(self._ports.release, index)
        try:
            found = locate(self._ports.volumes[index], number, lambda i: lacking.place_of((index, i)), release)
        except (OSError, MirrorfarmError) as error:
            self._ports.drop(f"inode {number:x} cannot be looked up: {error}")
            return
        if not isinstance(found, Missed):
            item = _Item(key, found)
            self._active[item] = None
            self._attempt(item)
        elif not found.removed and not lacking.is_gone(key):
            self._ports.unclear(f"inode {number:x} is not where it was")

    def _attempt(self, item: _Item) -> None:
        if item.over:
            return
        if item.inode.unlinked:
            self._end(item)
        elif item.attempts >= _ATTEMPTS:
            self._order.when_quiet(partial(self._send, item))
        elif item.inode.pending:
            item.attempts += 1
            self._loop.call_later(_PAUSE_S * item.attempts, self._attempt, item)
        else:
            self._send(item)

    def _send(self, item: _Item) -> None:
        """Nothing that was shipped is under way on the inode."""
        if item.over:
            return
        if item.inode.unlinked:
            self._end(item)
            return
        index, inode = item.key[0], item.inode
        if not self._ports.within_reach(index, inode, partial(self._attempt, item)):
            return
        try:
            self._ports.stream.introduce(index, inode.id)
            attributes = describe(self._ports.volumes[index], inode)
            body = encode_equalise(Equalise(index, attributes))
        except (OSError, MirrorfarmError, ValueError) as error:
            self._ports.drop(f"inode {inode.id:x} cannot be told of: {error}")
            return
        self.underway_bytes += len(body)
        self._ports.stream.send(FrameKind.EQUALISE, body, acknowledged=partial(self._acknowledged, len(body)))
        spans = self._lacking.spans(item.key, attributes.size) if inode.is_regular else []
        if spans:
            self.bytes_found += sum(end - offset for offset, end in spans)
            self._active.pop(item)
            item.over = True
            self._comparing.add(index, inode, spans)
        self._end(item)

    def _end(self, item: _Item) -> None:
        if not item.over:
            item.over = True
            self._active.pop(item)
            self._ports.release(item.key[0], item.inode)
        self._ports.advanced()

    def _acknowledged(self, count: int) -> None:
        self.underway_bytes -= count
        self._ports.advanced()
