"""Compares the content of files with a peer's and sends what differs: several files at once, bounded.

The peer is told digests of the blocks of a file, answers which it wants, and is sent these as ordinary writes, in the
stream's order. Of a file that it has just made nothing is asked: it is sent what is not zeros. What is read is what
stands at that point of the stream (``replicator.steady``). A file is compared in the spans that it is added with, up to
the length that it had when the peer was told of it: what is beyond has come by the stream.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from manager.model.errors import MirrorfarmError, PeerProtocolError
from replicator.core.operations import Attribute, SetAttr, SetXattr, Write
from replicator.disk.survey import CAPABILITY, Piece, Segment, next_piece, next_segment, read_span
from replicator.disk.volume import Inode
from replicator.join_ports import JoinPorts
from replicator.made_files import MadeFiles
from replicator.small_files import SmallFiles
from replicator.steady import UNENDING, Extent, SteadyReader
from replicator.throttle import Throttle
from replicator.wire.copying import BLOCK, MAX_BLOCKS, Compare, decode_want, encode_compare
from replicator.wire.frames import FrameKind
from replicator.wire.small_files import SMALL, SmallFile

_T = TypeVar("_T")
_FILES: Final = 24
"""Files that are compared at once: small ones, or else."""
_MOST_AT_ONCE: Final = 16 << 20
"""Bytes that may have been read of them, or asked, and not be sent."""
_ASKED: Final = 2
"""Unanswered COMPAREs of one file."""
_WINDOW: Final = 8 << 20
"""Bytes sent and not acknowledged, above which nothing more is compared."""
_SMALL_FOR_ONE: Final = 8
"""Small files that count as one of those that wait."""
_RUN: Final = 8
"""Blocks of one write."""


@dataclass(slots=True)
class _Wanted:
    """What the peer wants of one span of a file."""

    file: "_File"
    spans: list[tuple[int, int]]
    """Offset and length of the writes that bring it, and that are not being read yet."""
    unsent: int
    """Writes that are not sent. They may be read several at a time, and come in any order, or again."""


@dataclass(eq=False, slots=True)
class _File:
    """One file under way, held."""

    volume: int
    inode: Inode
    spans: list[tuple[int, int]]
    """Offset and end of those that come after the one under way, the last one first."""
    offset: int = 0
    """Of the span under way: what is before this is asked for."""
    end: int = 0
    asked: int = 0
    """Spans that are not settled: not answered, or not all that is wanted of them is sent."""
    reading: bool = False
    changed: bool = False
    """The peer's copy was written to: its mtime is not ours."""
    over: bool = False
    made: bool = False
    """The peer's copy has no content but what this stream brings: nothing is compared."""

    @property
    def most_at_once(self) -> int:
        """Bytes of it that may have been read, or asked, and not be sent. Of one that waits for its turn."""
        return min(sum(end - offset for offset, end in self.spans), _ASKED * MAX_BLOCKS * BLOCK)


class Comparing:
    """Of one join."""

    def __init__(self, ports: JoinPorts, reader: SteadyReader, throttle: Throttle) -> None:
        self._ports = ports
        self._reader = reader
        self._waiting: deque[_File] = deque()
        self._active: dict[_File, int] = {}
        """With what each may have read at once."""
        self._at_once = 0
        """The sum of these."""
        self._questions: dict[int, tuple[_File, Segment]] = {}
        self._wanted: deque[_Wanted] = deque()
        self._throttle = throttle
        self._small = SmallFiles(ports, reader, throttle, self)
        self._made = MadeFiles(ports, reader, throttle, self)
        self._unacknowledged = 0
        self.bytes_compared = 0
        self.bytes_sent = 0
        self.files_done = 0

    @property
    def waiting(self) -> int:
        """Files that wait for their turn."""
        return len(self._waiting) + (self._small.waiting + self._made.waiting) // _SMALL_FOR_ONE

    @property
    def idle(self) -> bool:
        """Whether nothing is left, and what was sent is there."""
        under_way = self._waiting or self._active or self._unacknowledged
        return not under_way and self._small.idle and self._made.idle

    def add(self, volume: int, inode: Inode, spans: Sequence[tuple[int, int]], made: bool = False) -> None:
        """A file to be compared in these spans, offset and end of each, ascending; its hold passes over to this.

        ``made``: all that the peer has of its content, it has by this stream. So it is sent, and not compared.
        """
        whole = len(spans) == 1 and spans[0][0] == 0 and spans[0][1] <= SMALL
        if whole and made:
            self._made.add(volume, inode, spans[0][1])
        elif whole and not self._ports.stream.is_introduced(volume, inode.id):
            self._small.add(volume, inode, spans[0][1])
        else:
            self._waiting.append(_File(volume, inode, list(reversed(spans)), made=made))

    def close(self) -> None:
        """The stream is gone."""
        self._small.close()
        self._made.close()
        for file in [*self._active, *self._waiting]:
            file.over = True
            self._ports.release(file.volume, file.inode)
        self._active.clear()
        self._waiting.clear()
        self._questions.clear()
        self._wanted.clear()

    def go_on(self) -> None:
        """Takes up files, and goes on with those under way, as far as the bounds allow."""
        self._give()
        if self._unacknowledged < _WINDOW:
            self._small.go_on()
            self._made.go_on()
        while self._waiting and len(self._active) < _FILES:
            most = self._waiting[0].most_at_once
            if self._active and self._at_once + most > _MOST_AT_ONCE:
                break
            self._active[self._waiting.popleft()] = most
            self._at_once += most
        for file in tuple(self._active):
            self._advance(file)

    def _advance(self, file: _File) -> None:
        if file.over or file.reading:
            return
        if file.offset >= file.end and file.spans:
            file.offset, file.end = file.spans.pop()
        if file.offset < file.end:
            if file.made:
                self._copy(file)
                return
            throttle = self._throttle
            most = throttle.piece_bytes(BLOCK * MAX_BLOCKS)
            count = min(most, file.end - file.offset)
            if file.asked < _ASKED and self._unacknowledged < _WINDOW and throttle.may_begin(count):
                file.reading = True
                throttle.begin(count)
                work = partial(next_segment, offset=file.offset, end=file.end, most=most)
                self._read_piece(file, work, partial(self._ask, file), partial(_segment_extent, file.offset))
        elif not file.asked:
            if not file.changed:
                self._end(file)
                return
            if not file.inode.pending and not file.inode.unlinked:
                self._settle(file)  # nothing is under way on it: what it is here is so at this point of the stream
                return
            file.reading = True
            gone = partial(self._gone, file, False)
            self._reader.read(file.volume, file.inode, _status, lambda _status: self._settle(file), gone)

    def _copy(self, file: _File) -> None:
        """Reads the next piece of a file that the peer has made, to be sent as it is."""
        throttle = self._throttle
        most = (MAX_BLOCKS if throttle.is_free else _RUN) * BLOCK
        count = min(most, file.end - file.offset)
        # Where it is a hole less is sent than is taken here: under a limit it goes slower then, never faster.
        if self._unacknowledged < _WINDOW and throttle.may_begin(count) and throttle.take(count):
            file.reading = True
            throttle.begin(count)
            work = partial(next_piece, offset=file.offset, end=file.end, most=most, run=_RUN * BLOCK)
            self._read_piece(file, work, partial(self._copied, file), partial(_piece_extent, file.offset))

    def _copied(self, file: _File, piece: Piece | None) -> None:
        """What is read is true at this point of the stream."""
        if file.over or not self._ports.within_reach(file.volume, file.inode, partial(self._again, file)):
            self._throttle.end()
            return
        file.reading = False
        if piece is None:
            self._throttle.end()
            file.offset = file.end
        else:
            if piece.blocks:
                if not self._introduce(file):
                    return
                file.changed = True
                self._ship(file, piece.blocks, self._piece_over)
            else:
                self._throttle.end()
            self.bytes_compared += piece.end - file.offset
            file.offset = piece.end
        self._ports.advanced()

    def _read_piece(
        self, file: _File, work: Callable[[int], _T], done: Callable[[_T], None], extent: Callable[[_T], Extent]
    ) -> None:
        """One was begun."""
        self._reader.read(file.volume, file.inode, work, done, partial(self._gone, file, True), extent)

    def _gone(self, file: _File, piece: bool, error: Exception | None) -> None:
        """``piece``: one was begun for what was read."""
        if piece:
            self._throttle.end()
        if file.over:
            return
        if error is not None:
            self._ports.drop(f"inode {file.inode.id:x} cannot be read: {error}")
        else:
            self._end(file)

    def _end(self, file: _File) -> None:
        file.over = True
        self.files_done += 1
        self._at_once -= self._active.pop(file, 0)
        self._ports.release(file.volume, file.inode)
        self._ports.advanced()

    # Asking

    def _ask(self, file: _File, segment: Segment | None) -> None:
        """What is read is true at this point of the stream."""
        if file.over:
            self._throttle.end()
            return
        if segment is not None and not self._ports.within_reach(file.volume, file.inode, partial(self._again, file)):
            self._throttle.end()
            return  # what was read may not be true any more when it is
        file.reading = False
        if segment is None:
            self._throttle.end()
            file.offset = file.end
        else:
            if not self._introduce(file):
                return
            file.offset = segment.offset + segment.length
            file.asked += 1
            compare = Compare(file.volume, file.inode.id, segment.offset, segment.length, segment.digests)
            body = encode_compare(compare)
            self._throttle.spend(len(body))
            sequence = self._ports.stream.send(FrameKind.COMPARE, body)
            self._questions[sequence] = (file, segment)
        self._ports.advanced()

    def _again(self, file: _File) -> None:
        file.reading = False
        self._ports.advanced()

    def _introduce(self, file: _File) -> bool:
        try:
            self._ports.stream.introduce(file.volume, file.inode.id)
        except (OSError, MirrorfarmError) as error:
            self._ports.drop(f"inode {file.inode.id:x} cannot be introduced: {error}")
            return False
        return True

    def answered(self, sequence: int, body: memoryview) -> None:
        """A WANT. Raises PeerProtocolError."""
        question = self._questions.pop(sequence, None)
        if question is None:
            raise PeerProtocolError(f"blocks are wanted of frame {sequence}, which compared none")
        file, segment = question
        self._throttle.end()
        bitmap = decode_want(body, max(1, len(segment.digests)))
        self.bytes_compared += segment.length
        if file.over:
            return
        file.changed = file.changed or bool(bitmap)
        if not bitmap or not segment.digests:
            file.asked -= 1
            self._ports.advanced()
            return
        self._want(file, segment, bitmap)
        self._ports.advanced()

    def _want(self, file: _File, segment: Segment, bitmap: int) -> None:
        spans = _spans(segment, bitmap)
        self._wanted.append(_Wanted(file, spans, len(spans)))

    # Small files

    def small_answered(self, sequence: int, body: memoryview) -> None:
        """A WANT_SMALL. Raises PeerProtocolError."""
        self._small.answered(sequence, body)

    def ended(self, volume: int, inode: Inode, length: int) -> None:
        """See ``small_files.Single``."""
        self.bytes_compared += length
        self.files_done += 1
        self._ports.release(volume, inode)

    def taken_over(self, volume: int, inode: Inode, end: int) -> None:
        """See ``small_files.Single``."""
        self._waiting.append(_File(volume, inode, [(0, end)]))

    def wanted(self, volume: int, inode: Inode, told: SmallFile, bitmap: int) -> None:
        """See ``small_files.Single``."""
        self.bytes_compared += told.length
        file = _File(volume, inode, [], asked=1, changed=True)
        self._active[file] = 0
        self._want(file, Segment(0, told.length, told.digests), bitmap)

    # Small files that the peer has made

    def made(self, volume: int, inode: Inode, end: int) -> None:
        """See ``made_files.Single``."""
        self._waiting.append(_File(volume, inode, [(0, end)], made=True))

    def bring(self, volume: int, inode: Inode, piece: Piece, over: Callable[[], None]) -> bool:
        """See ``made_files.Single``."""
        self.bytes_compared += piece.end
        file = _File(volume, inode, [], made=True)
        self._active[file] = 0
        if not piece.blocks:
            self._end(file)
            return False
        if not self._introduce(file):
            return False
        self._ship(file, piece.blocks, over)
        self._settle(file)
        return True

    # Sending

    def _give(self) -> None:
        """Sends what is wanted, as much of it as may be."""
        throttle = self._throttle
        while self._wanted:
            wanted = self._wanted[0]
            file, spans = wanted.file, wanted.spans
            if file.over:
                self._wanted.popleft()
                continue
            first = spans if throttle.is_free else spans[:1]
            count = sum(length for _, length in first)
            if not throttle.may_begin(count) or not throttle.take(count):
                return
            wanted.spans = spans[len(first) :]
            if not wanted.spans:
                self._wanted.popleft()
            throttle.begin(count)
            work, extent = partial(_read_spans, first), partial(_wanted_extent, first)
            self._read_piece(file, work, partial(self._send, wanted, len(first)), extent)

    def _send(self, wanted: _Wanted, count: int, blocks: list[tuple[int, bytes]]) -> None:
        """So many writes of what is wanted; what is read is true at this point of the stream."""
        file = wanted.file
        if file.over or not blocks:
            self._throttle.end()
        if file.over:
            return
        if not self._introduce(file):
            return
        self._ship(file, blocks, self._piece_over)
        wanted.unsent -= count
        if not wanted.unsent:
            file.asked -= 1
        self._ports.advanced()

    def _ship(self, file: _File, blocks: Sequence[tuple[int, bytes]], over: Callable[[], None]) -> None:
        """``over`` is called when the last one is acknowledged."""
        for place, (offset, data) in enumerate(blocks, 1):
            self._unacknowledged += len(data)
            self.bytes_sent += len(data)
            operation = Write(file.volume, file.inode.id, offset, data)
            then = over if place == len(blocks) else None
            self._ports.stream.ship_to(operation, acknowledged=partial(self._acknowledged, len(data), then))

    def _piece_over(self) -> None:
        self._throttle.end()
        self._ports.advanced()

    def _acknowledged(self, count: int, over: Callable[[], None] | None) -> None:
        if over is not None:
            over()
        full = self._unacknowledged >= _WINDOW
        self._unacknowledged -= count
        if not self._unacknowledged or (full and self._unacknowledged < _WINDOW):
            self._ports.advanced()

    def _settle(self, file: _File) -> None:
        """Everything is sent: what the writes to the peer's copy changed beside, at this point of the stream."""
        if file.over or not self._introduce(file):
            return
        volume, inode = self._ports.volumes[file.volume], file.inode
        stream = self._ports.stream
        try:
            capability = volume.getxattr(inode, CAPABILITY) if CAPABILITY in volume.listxattr(inode) else None
            mtime_ns = volume.status(inode).st_mtime_ns
        except (OSError, MirrorfarmError) as error:
            self._ports.drop(f"inode {inode.id:x} cannot be read: {error}")
            return
        if capability is not None:
            stream.ship_to(SetXattr(file.volume, inode.id, CAPABILITY, capability, 0, False))
        stream.ship_to(SetAttr(file.volume, inode.id, Attribute.MTIME, mtime_ns=mtime_ns))
        self._end(file)


def _segment_extent(offset: int, segment: Segment | None) -> Extent:
    return (offset, UNENDING) if segment is None else (offset, segment.offset + segment.length)


def _piece_extent(offset: int, piece: Piece | None) -> Extent:
    return (offset, UNENDING) if piece is None else (offset, piece.end)


def _wanted_extent(spans: list[tuple[int, int]], _data: list[tuple[int, bytes]]) -> Extent:
    return spans[0][0], sum(spans[-1])


def _status(file: int) -> os.stat_result:
    return os.fstat(file)


def _read_spans(spans: list[tuple[int, int]], file: int) -> list[tuple[int, bytes]]:
    found = [(offset, read_span(file, offset, length)) for offset, length in spans]
    return [(offset, data) for offset, data in found if data]


def _spans(segment: Segment, bitmap: int) -> list[tuple[int, int]]:
    """Offset and length of the writes that bring the wanted blocks."""
    spans: list[tuple[int, int]] = []
    end = segment.offset + segment.length
    for index in range(len(segment.digests)):
        if not bitmap >> index & 1:
            continue
        offset = segment.offset + index * BLOCK
        length = min(BLOCK, end - offset)
        if spans and sum(spans[-1]) == offset and spans[-1][1] < _RUN * BLOCK:
            spans[-1] = (spans[-1][0], spans[-1][1] + length)
        else:
            spans.append((offset, length))
    return spans
