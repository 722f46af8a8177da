"""Compares small files with a peer's, whole, many of them by one reading and one question.

Most files are small, and equal. Each by itself would cost a change of threads and three frames here and there: for what
is read in microseconds. So as many as make a piece are read by one thread and asked about in one frame, by their names:
only those that differ are bound. A file that anything happens to meanwhile, or that is not where its name says, is
handed on to whoever compares one file at a time (``replicator.comparing``), as is what is to be sent of one.

By its name a file may be told while nothing that concerns it is under way: then it has that name at the peer as well.
As soon as something is, the peer has it bound, and knows it by its id.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from manager.model.errors import MirrorfarmError, PeerProtocolError
from replicator.disk.survey import digest_whole
from replicator.disk.volume import Inode
from replicator.join_ports import JoinPorts
from replicator.pacing import LEAST_PIECE_BYTES
from replicator.steady import SteadyReader
from replicator.throttle import Throttle
from replicator.wire.frames import FrameKind
from replicator.wire.small_files import (
    MAX_SMALL_FILES,
    NOT_THERE,
    CompareSmall,
    SmallFile,
    decode_want_small,
    encode_compare_small,
)

_GROUPS: Final = 6
"""Groups that are read or asked about at once."""
MOST_OF_GROUP: Final = LEAST_PIECE_BYTES * MAX_SMALL_FILES
"""Bytes of one group, where each file counts as a piece does at the least."""


@dataclass(frozen=True, eq=False, slots=True)
class Small:
    """A file that waits for its turn, or is under way; held."""

    volume: int
    inode: Inode
    end: int
    """Its length when the peer was told of it."""

    @property
    def cost(self) -> int:
        """What it counts in a piece."""
        return max(self.end, LEAST_PIECE_BYTES)


def next_group(waiting: Iterable[Small], most: int) -> list[Small]:
    """As many of the first ones as cost so much, one at the least: all of one volume."""
    group: list[Small] = []
    for file in waiting:
        most -= file.cost
        if group and (most < 0 or file.volume != group[0].volume):
            break
        group.append(file)
    return group


class Single(Protocol):
    """Whoever compares one file at a time."""

    def ended(self, volume: int, inode: Inode, length: int) -> None:
        """A file is equal in these bytes, and nothing is left of it; its hold passes over."""
        ...

    def taken_over(self, volume: int, inode: Inode, end: int) -> None:
        """A file is to be compared by itself; its hold passes over."""
        ...

    def wanted(self, volume: int, inode: Inode, told: SmallFile, bitmap: int) -> None:
        """These blocks of what the peer was told differ, and nothing else is left of it; its hold passes over."""
        ...


class SmallFiles:
    """Of one join."""

    def __init__(self, ports: JoinPorts, reader: SteadyReader, throttle: Throttle, single: Single) -> None:
        self._ports = ports
        self._reader = reader
        self._throttle = throttle
        self._single = single
        self._waiting: deque[Small] = deque()
        self._reading: dict[int, list[Small]] = {}
        """Groups, each by a number of its own."""
        self._asked: dict[int, list[tuple[Small, SmallFile]]] = {}
        """Groups, by the sequence of their question."""
        self._groups = 0

    @property
    def waiting(self) -> int:
        """Files that wait for their turn."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing is left."""
        return not (self._waiting or self._reading or self._asked)

    def add(self, volume: int, inode: Inode, end: int) -> None:
        """A file of so many bytes, at most SMALL, to be compared whole; its hold passes over to this."""
        self._waiting.append(Small(volume, inode, end))

    def close(self) -> None:
        """The stream is gone."""
        left = [*self._waiting, *(file for group in self._reading.values() for file in group)]
        left += [file for group in self._asked.values() for file, _ in group]
        for file in left:
            self._ports.release(file.volume, file.inode)
        self._waiting.clear()
        self._reading.clear()
        self._asked.clear()

    def go_on(self) -> None:
        """Takes up files, as far as the bounds allow."""
        throttle = self._throttle
        while self._waiting and len(self._reading) + len(self._asked) < _GROUPS:
            group = next_group(self._waiting, throttle.piece_bytes(MOST_OF_GROUP))
            cost = sum(file.cost for file in group)
            if not throttle.may_begin(cost):
                return
            throttle.begin(cost)
            for _ in group:
                self._waiting.popleft()
            self._groups += 1
            self._reading[self._groups] = group
            works = [(file.inode, partial(digest_whole, length=file.end)) for file in group]
            self._reader.read_once(group[0].volume, works, partial(self._read, self._groups))

    def _read(self, number: int, found: list[tuple[bytes, ...] | None]) -> None:
        """What is read is true at this point of the stream, where it is anything."""
        group = self._reading.pop(number)
        asked: list[tuple[Small, SmallFile]] = []
        directories: dict[int, bool] = {}
        for file, digests in zip(group, found, strict=True):
            told = None if digests is None else self._tell(file, digests, directories)
            if told is None:
                self._single.taken_over(file.volume, file.inode, file.end)
            else:
                asked.append((file, told))
        if asked:
            body = encode_compare_small(CompareSmall(group[0].volume, tuple(told for _, told in asked)))
            self._throttle.spend(len(body))
            self._asked[self._ports.stream.send(FrameKind.COMPARE_SMALL, body)] = asked
        else:
            self._throttle.end()
        self._ports.advanced()

    def _tell(self, file: Small, digests: tuple[bytes, ...], directories: dict[int, bool]) -> SmallFile | None:
        """How the peer finds it at this point of the stream; ``None``: it has to be bound, or something is wrong.

        ``directories``: of which the peer knows the names by now, as far as that was asked.
        """
        stream, inode = self._ports.stream, file.inode
        if stream.is_introduced(file.volume, inode.id):
            return SmallFile(inode.id, 0, b"", file.end, digests)
        if inode.pending or not inode.names:
            return None
        parent, name = next(iter(inode.names))
        if parent not in directories:
            directories[parent] = self._is_introduced(file.volume, parent)
        return SmallFile(inode.id, parent, name, file.end, digests) if directories[parent] else None

    def _is_introduced(self, volume: int, directory: int) -> bool:
        """Whether the peer knows the names in it; the directory is bound then."""
        try:
            if not self._ports.is_listed(volume, directory):
                return False
            self._ports.stream.introduce(volume, directory)
        except (OSError, MirrorfarmError):
            return False
        return True

    def answered(self, sequence: int, body: memoryview) -> None:
        """A WANT_SMALL. Raises PeerProtocolError."""
        asked = self._asked.get(sequence)
        if asked is None:
            raise PeerProtocolError(f"small blocks are wanted of frame {sequence}, which compared none")
        wanted = decode_want_small(body, [told.length for _, told in asked])
        del self._asked[sequence]
        self._throttle.end()
        for (file, told), bitmap in zip(asked, wanted, strict=True):
            if bitmap == NOT_THERE:
                self._single.taken_over(file.volume, file.inode, file.end)
            elif bitmap:
                self._single.wanted(file.volume, file.inode, told, bitmap)
            else:
                self._single.ended(file.volume, file.inode, told.length)
        self._ports.advanced()
