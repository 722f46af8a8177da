"""Sends small files that the peer has just made, whole, many of them by one reading and together.

Most files of a first sync are small. Each by itself would cost a change of threads and four calls to send its frames:
for what is read in microseconds. So as many as make a piece are read by one thread, and what they are is given to the
kernel at once. A file that anything happens to meanwhile is handed on to whoever copies one file at a time
(``replicator.comparing``), as is one that is not what it was listed as.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from replicator.disk.survey import Piece, whole_piece
from replicator.disk.volume import Inode
from replicator.join_ports import JoinPorts
from replicator.pacing import BURST_BYTES
from replicator.small_files import MOST_OF_GROUP, Small, next_group
from replicator.steady import SteadyReader
from replicator.throttle import Throttle

_GROUPS: Final = 4
"""Groups that are read at once."""


class Single(Protocol):
    """Whoever copies one file at a time."""

    def made(self, volume: int, inode: Inode, end: int) -> None:
        """A file is to be copied by itself; its hold passes over."""
        ...

    def bring(self, volume: int, inode: Inode, piece: Piece, over: Callable[[], None]) -> bool:
        """A file is this, at this point of the stream: it is sent, and nothing is left of it; its hold passes over.

        ``over`` is called when what was sent of its content is acknowledged, if anything was; whether it was.
        """
        ...


@dataclass(eq=False, slots=True)
class _Group:
    """Files that are read by one thread; held."""

    files: list[Small]
    left: int = 1
    """Of those that were sent how many are not acknowledged; one more while they are read."""


class MadeFiles:
    """Of one join."""

    def __init__(self, ports: JoinPorts, reader: SteadyReader, throttle: Throttle, single: Single) -> None:
        self._ports = ports
        self._reader = reader
        self._throttle = throttle
        self._single = single
        self._waiting: deque[Small] = deque()
        self._reading: dict[_Group, None] = {}

    @property
    def waiting(self) -> int:
        """Files that wait for their turn."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be read."""
        return not (self._waiting or self._reading)

    def add(self, volume: int, inode: Inode, end: int) -> None:
        """A file of so many bytes, at most SMALL, to be sent whole; its hold passes over to this."""
        self._waiting.append(Small(volume, inode, end))

    def close(self) -> None:
        """The stream is gone."""
        for file in [*self._waiting, *(file for group in self._reading for file in group.files)]:
            self._ports.release(file.volume, file.inode)
        self._waiting.clear()
        self._reading.clear()

    def go_on(self) -> None:
        """Takes up files, as far as the bounds allow."""
        throttle = self._throttle
        while self._waiting and len(self._reading) < _GROUPS:
            files = next_group(self._waiting, throttle.piece_bytes(MOST_OF_GROUP if throttle.is_free else BURST_BYTES))
            cost = sum(file.cost for file in files)
            if not throttle.may_begin(cost) or not throttle.take(sum(file.end for file in files)):
                return
            throttle.begin(cost)
            for _ in files:
                self._waiting.popleft()
            group = _Group(files)
            self._reading[group] = None
            works = [(file.inode, partial(whole_piece, length=file.end)) for file in files]
            self._reader.read_once(files[0].volume, works, partial(self._read, group))

    def _read(self, group: _Group, found: list[Piece | None]) -> None:
        """What is read is true at this point of the stream, where it is anything."""
        del self._reading[group]
        over = partial(self._over, group)
        with self._ports.stream.together():
            for file, piece in zip(group.files, found, strict=True):
                if piece is None or not self._ports.within_reach(file.volume, file.inode, _nothing):
                    self._single.made(file.volume, file.inode, file.end)
                elif self._single.bring(file.volume, file.inode, piece, over):
                    group.left += 1
        over()

    def _over(self, group: _Group) -> None:
        group.left -= 1
        if not group.left:
            self._throttle.end()
            self._ports.advanced()


def _nothing() -> None:
    """What is lacking is listed; the file is looked at again by whoever has it then."""
