"""Reads what a comparison asks about next, beside the application: small files many at a time, others in pieces.

What was read is asked about at the very point of the stream where it is true (``replicator.steady``), by a path that
leads to the file there. One piece is read at a time, so that a comparison goes in its order: a file that changed while
it was read is read again before those that come after the piece. What the kernel has cached of a file is not what a bad
disk gives back: so that is let go of before the first attempt. What is asked, and of whom, is not known here.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from manager.model.errors import MirrorfarmError
from replicator.core.operations import Operation, Rename, Rmdir, Unlink
from replicator.disk.survey import Segment, digest_whole, forget_ahead, forget_cached, next_segment
from replicator.disk.volume import Inode, Volume
from replicator.pacing import LEAST_PIECE_BYTES
from replicator.steady import UNENDING, Extent, SteadyReader
from replicator.throttle import Throttle
from replicator.verify_walk import File
from replicator.wire.copying import BLOCK, MAX_BLOCKS
from replicator.wire.small_files import MAX_SMALL_FILES, SMALL

_MOST: Final = BLOCK * MAX_BLOCKS
"""Bytes of one piece."""


class ReadOrder(Protocol):
    """The primary."""

    def underway_in(self, volume: int) -> list[Operation]:
        """What was issued, or is the very next to be shipped, and is not applied here yet."""
        ...


@dataclass(eq=False, slots=True)
class Piece:
    """What is read, and asked about, before anything else is."""

    files: list[File]
    left: deque[File] = field(default_factory=deque)
    """Those of which something is still to be read."""
    unanswered: int = 0
    """Questions."""
    is_asked: bool = False
    """All that there is to ask of it."""


class VerifyReading:
    """Of one comparison."""

    def __init__(
        self,
        order: ReadOrder,
        reader: SteadyReader,
        volumes: Sequence[Volume],
        throttle: Throttle,
        ask: Callable[[Piece, File, Segment], None],
        asked: Callable[[Piece], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """``ask`` is called with what is true now, and may raise OSError, DivergenceError and ValueError.

        ``asked`` when that is all of a piece, or ``failed`` when something of it cannot be read or asked.
        """
        self._order = order
        self._reader = reader
        self._volumes = volumes
        self._throttle = throttle
        self._ask = ask
        self._asked = asked
        self._failed = failed

    def begin(self, files: Sequence[File]) -> bool:
        """Reads what is first of ``files``, which are held; whether that may be now."""
        throttle = self._throttle
        most = throttle.piece_bytes(_MOST)
        small = _small_ones(files, most)
        piece = Piece(small or [files[0]])
        count = sum(map(_cost, small)) if small else min(most, files[0].end - files[0].offset)
        if not throttle.may_begin(count) or not throttle.take(0):
            return False
        throttle.begin(count)
        if small:
            works = [(file.inode, partial(_digest_on_disk, length=file.end)) for file in small]
            self._reader.read_once(small[0].volume, works, partial(self._read, piece))
        else:
            self._read_one(piece, files[0], most)
        return True

    def answered(self, piece: Piece) -> None:
        """A question about it is."""
        piece.unanswered -= 1
        self._end_if_over(piece)

    def _end_if_over(self, piece: Piece) -> None:
        if piece.is_asked and not piece.unanswered:
            self._throttle.end()

    # Small files

    def _read(self, piece: Piece, found: list[tuple[bytes, ...] | None]) -> None:
        for file, digests in zip(piece.files, found, strict=True):
            if digests is None or not self._is_found(file):
                piece.left.append(file)
            elif not self._tell(piece, file, Segment(0, file.end, digests)):
                return
        self._read_next(piece)

    def _read_next(self, piece: Piece) -> None:
        """What is left of a piece, one file after the other."""
        if piece.left:
            self._read_one(piece, piece.left[0], SMALL)
        else:
            self._over(piece)

    # One file

    def _read_one(self, piece: Piece, file: File, most: int) -> None:
        digest = partial(_Again(), offset=file.offset, end=file.end, most=most)
        done, gone = partial(self._read_segment, piece, file), partial(self._gone, piece, file)
        extent, steady = partial(_extent, file.offset), partial(self._is_found, file)
        self._reader.read(file.volume, file.inode, digest, done, gone, extent, steady)

    def _read_segment(self, piece: Piece, file: File, segment: Segment | None) -> None:
        if segment is None:
            file.offset = file.end
        elif not self._tell(piece, file, segment):
            return
        if not piece.left:
            self._over(piece)
            return
        if file.offset >= file.end:
            piece.left.popleft()
        self._read_next(piece)

    def _gone(self, piece: Piece, file: File, error: Exception | None) -> None:
        if error is not None:
            self._failed(error)
            return
        self._read_segment(piece, file, None)

    def _tell(self, piece: Piece, file: File, segment: Segment) -> bool:
        """Asks about what is true now; whether that could be."""
        try:
            self._ask(piece, file, segment)
        except (OSError, MirrorfarmError, ValueError) as error:
            self._failed(error)
            return False
        piece.unanswered += 1
        file.offset = segment.offset + segment.length
        return True

    def _over(self, piece: Piece) -> None:
        piece.is_asked = True
        self._asked(piece)
        self._end_if_over(piece)

    def _is_found(self, file: File) -> bool:
        """Whether the path to a file here is the one at the peer: nothing on the way to it is being moved."""
        moved: set[int] = set()
        for operation in self._order.underway_in(file.volume):
            if isinstance(operation, Rename | Unlink | Rmdir):
                moved.add(operation.inode)
            if isinstance(operation, Rename):
                moved.add(operation.replaced)
        return not moved or not moved & _above(self._volumes[file.volume], file.inode)


def _above(volume: Volume, inode: Inode) -> set[int]:
    """An inode and the directories by which it is known."""
    found: set[int] = set()
    waiting = [inode]
    while waiting:
        each = waiting.pop()
        if each.id not in found:
            found.add(each.id)
            waiting.extend(volume.table[parent] for parent, _ in each.names)
    return found


def _small_ones(files: Sequence[File], most: int) -> list[File]:
    """The first of them, as far as they are small and make one piece."""
    found: list[File] = []
    for file in files:
        most -= _cost(file)
        if file.offset or file.end > SMALL or len(found) == MAX_SMALL_FILES or (found and most < 0):
            break
        found.append(file)
    return found


def _cost(file: File) -> int:
    return max(LEAST_PIECE_BYTES, file.end)


def _digest_on_disk(file: int, length: int) -> tuple[bytes, ...] | None:
    forget_cached(file, 0, length)
    return digest_whole(file, length)


class _Again:
    """Digests a segment: the first time from the disk, as far as the kernel lets go of what it has cached."""

    def __init__(self) -> None:
        self._was_read = False

    def __call__(self, file: int, offset: int, end: int, most: int) -> Segment | None:
        if not self._was_read:
            forget_ahead(file, offset, min(most, end - offset))
            self._was_read = True
        return next_segment(file, offset, end, most)


def _extent(offset: int, segment: Segment | None) -> Extent:
    return (offset, UNENDING) if segment is None else (offset, segment.offset + segment.length)
