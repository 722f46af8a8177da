"""Sends listings to a joining peer, and acts on what it answers: what it had to make anew is to be copied whole.

What a listing names is held until the answer is there: a directory that the peer had to make is to be listed itself,
a file that it had to make to be sent, one that is new since the two copies were the same, or may be another there, to
be compared from end to end. Where every directory is listed, that these are is clear before. Which directories are
listed is not decided here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from manager.model.errors import MirrorfarmError, PeerProtocolError
from replicator.comparing import Comparing
from replicator.disk.listing import Surveyed
from replicator.disk.volume import Inode
from replicator.join_ports import JoinPorts
from replicator.lacking import Lacking
from replicator.wire.copying import decode_listed, encode_entry, encode_listing, split_entries
from replicator.wire.frames import FrameKind


@dataclass(frozen=True, slots=True)
class _Kept:
    """A directory, or a file that is not empty: held."""

    inode: Inode
    size: int
    several: bool
    """It has other names."""


@dataclass(slots=True)
class _Part:
    """One frame."""

    volume: int
    count: int
    """Entries."""
    kept: dict[int, _Kept] = field(default_factory=dict)
    """By the index of the entry."""
    answered: bool = False


class Listings:
    """Of one join."""

    def __init__(
        self, lacking: Lacking, comparing: Comparing, directory: Callable[[int, Inode], None], ports: JoinPorts
    ) -> None:
        """``directory`` takes one that is to be listed; its hold passes over."""
        self._lacking = lacking
        self._comparing = comparing
        self._directory = directory
        self._ports = ports
        self._parts: dict[int, _Part] = {}
        """By sequence: what is not answered."""
        self._pinned: list[tuple[int, Inode]] = []
        self.underway_bytes = 0
        """Of listings that the peer has not worked off."""
        self.entries = 0
        """How many were sent."""
        self.bytes_found = 0
        """Of content that is to be compared."""

    @property
    def are_answered(self) -> bool:
        """Whether the peer has told of all that was sent."""
        return not self._parts

    def send(self, volume: int, surveyed: Surveyed) -> None:
        """A directory as it is at this point of the stream; its holds pass over. Raises MirrorfarmError."""
        lacking = self._lacking
        lacking.listed((volume, surveyed.own.inode))
        self._pinned += [(volume, inode) for inode in surveyed.pinned]
        self.entries += len(surveyed.entries)
        parts: list[_Part] = []
        try:
            entries = [encode_entry(entry) for entry in surveyed.entries]
            bodies = encode_listing(volume, surveyed.path, surveyed.own, entries, tracked=lacking.some_only)
        except ValueError as error:
            for inode in surveyed.kept.values():
                self._ports.release(volume, inode)
            raise MirrorfarmError(str(error)) from None
        first = 0
        for chunk in split_entries(entries):
            parts.append(self._part(volume, surveyed, range(first, first + len(chunk))))
            first += len(chunk)
        for part, body in zip(parts, bodies, strict=True):
            self.underway_bytes += len(body)
            acknowledged = partial(self._acknowledged, part, len(body))
            self._parts[self._ports.stream.send(FrameKind.LISTING, body, acknowledged=acknowledged)] = part

    def _part(self, volume: int, surveyed: Surveyed, indexes: range) -> _Part:
        """What waits for the answer; what does not is handed on."""
        lacking = self._lacking
        part = _Part(volume, len(indexes))
        for index in indexes:
            inode = surveyed.kept.get(index)
            if inode is None:
                continue
            entry = surveyed.entries[index].attributes
            kept = _Kept(inode, entry.size, entry.nlink > 1)
            if inode.is_directory and not lacking.some_only:
                self._take(volume, kept, anew=False)
                continue
            part.kept[index - indexes.start] = kept
            if inode.is_directory:
                lacking.asked((volume, inode.id))
        return part

    def _take(self, volume: int, kept: _Kept, anew: bool, made: bool = False) -> None:
        """Hands on what is to be listed, or compared whole."""
        inode, lacking, ports = kept.inode, self._lacking, self._ports
        key = (volume, inode.id)
        if inode.is_directory:
            if lacking.answered(key, anew):
                self._directory(volume, inode)
                return
        elif lacking.is_whole(inode.id, anew) and lacking.take_whole(key, kept.several):
            self.bytes_found += kept.size
            self._comparing.add(volume, inode, [(0, kept.size)], made)
            return
        ports.release(volume, inode)

    def answered(self, sequence: int, body: memoryview) -> None:
        """A LISTED. Raises PeerProtocolError."""
        part = self._parts.pop(sequence, None)
        if part is None:
            raise PeerProtocolError(f"an answer to frame {sequence}, which listed nothing, or was answered")
        part.answered = True
        kept, part.kept = part.kept, {}
        try:
            listed = decode_listed(body, part.count)
            if listed.unfindable and not self._lacking.some_only:
                raise PeerProtocolError("something cannot be found though every directory is listed")
        except PeerProtocolError:
            for each in kept.values():
                self._ports.release(part.volume, each.inode)
            raise
        anew = frozenset(listed.anew)
        for index, each in kept.items():
            self._take(part.volume, each, index in anew, index in listed.made)
        if listed.unfindable:
            self._ports.unclear("a file with several names is not where the peer looked")
        self._ports.advanced()

    def _acknowledged(self, part: _Part, count: int) -> None:
        self.underway_bytes -= count
        if not part.answered:
            self._ports.drop("a listing was taken and not answered")
        self._ports.advanced()

    def close(self) -> None:
        """Nothing more is answered, or asked: what is held is released."""
        parts, self._parts = self._parts, {}
        for part in parts.values():
            for each in part.kept.values():
                self._ports.release(part.volume, each.inode)
        pinned, self._pinned = self._pinned, []
        for volume, inode in pinned:
            self._ports.release(volume, inode)
