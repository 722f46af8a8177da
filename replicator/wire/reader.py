"""Bytes as they come, in any pieces, into frames: checked, in order, in place.

One buffer, used again and again: a body is a view of it (or of what was decompressed), valid until the next frame is
asked for. What is not a frame raises :class:`PeerProtocolError`, and from then on the same again.
"""

from typing import Final

from manager.model.errors import PeerProtocolError
from replicator.wire.compression import Decompressor
from replicator.wire.frames import CHECKSUM, HEADER, MAX_BODY, MAX_HANDSHAKE, digest, is_sound, refuse_header

_SIZE: Final = HEADER.size
_CHECKSUM_SIZE: Final = CHECKSUM.size
_unpack_header: Final = HEADER.unpack_from
_PIECE: Final = 64 << 10
"""What is received at once when nothing large is expected: many small frames a wake-up, and little to move."""
_LARGE: Final = 32 << 10


class FrameReader:
    """The receiving side of one connection.

    Use: receive into :meth:`space`, say how much by :meth:`received`, take :meth:`next` until it is ``None``.
    """

    def __init__(self, epoch: int) -> None:
        """``epoch`` 0: none is agreed yet; until :meth:`agree` only a handshake fits in."""
        self.epoch = epoch
        self.wire_bytes = 0
        """Of all bodies so far, as they travelled."""
        self._decompressor = Decompressor()
        self._broken: str | None = None
        self._allocate(MAX_HANDSHAKE if not epoch else MAX_BODY)

    def _allocate(self, most: int) -> None:
        self._buffer = bytearray(_SIZE + most + _PIECE)
        self._view = memoryview(self._buffer)
        self._most = most
        self._start = self._end = 0

    def agree(self, epoch: int) -> None:
        """Every frame is of this epoch from now on, and may be as large as its kind may."""
        self.epoch = epoch
        if self._most < MAX_BODY:
            kept = bytes(self._view[self._start : self._end])
            self._allocate(MAX_BODY)
            self._buffer[: len(kept)] = kept
            self._end = len(kept)

    def discard(self) -> None:
        """Nothing more will be received: gives the buffer back, views of it apart."""
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    @property
    def buffered_bytes(self) -> int:
        """Received, and not taken as a frame yet."""
        return self._end - self._start

    def space(self) -> memoryview:
        """Where the next bytes go: never empty, when :meth:`next` has been asked until there was none."""
        start, end = self._start, self._end
        if start == end:
            self._start = self._end = 0
            return self._view[:_PIECE]
        missing = _PIECE
        if end - start >= _SIZE:
            missing = _SIZE + _unpack_header(self._buffer, start)[3] - (end - start)
            if missing <= _LARGE:
                missing = _PIECE
        if end + missing > len(self._buffer) or end - start < _LARGE:
            self._view[: end - start] = self._view[start:end]
            self._start, self._end = start, end = 0, end - start
        return self._view[end : end + missing]

    def received(self, count: int) -> None:
        """``count`` bytes of :meth:`space` are filled."""
        self._end += count

    def next(self) -> tuple[int, int, memoryview] | None:
        """Kind, sequence and plain body of the next frame; ``None``: more bytes are needed.

        Raises:
            PeerProtocolError: what came is not this protocol.
        """
        start, stop = self._start, self._end
        if stop - start < _SIZE:
            if self._broken is not None:
                raise PeerProtocolError(self._broken)
            return None
        checksum, sequence, epoch, length, plain, kind, flags, magic = _unpack_header(self._buffer, start)
        if not is_sound(self.epoch, epoch, length, plain, kind, flags, magic) or plain > self._most:
            self._break(start)
        end = start + _SIZE + length
        if end > stop:
            return None
        if digest(self._view[start + _CHECKSUM_SIZE : end]) != checksum:
            raise self._error("bad frame: checksum")
        self._start = end
        self.wire_bytes += length
        body = self._view[start + _SIZE : end]
        if flags:
            body = self._decompress(body, plain)
        return kind, sequence, body

    def _decompress(self, body: memoryview, plain: int) -> memoryview:
        try:
            return self._decompressor.decompress(body, plain)
        except PeerProtocolError as error:
            raise self._error(str(error)) from None

    def _break(self, start: int) -> None:
        try:
            refuse_header(self._buffer, start, self.epoch, self._most)
        except PeerProtocolError as error:
            raise self._error(str(error)) from None

    def _error(self, reason: str) -> PeerProtocolError:
        self._broken = reason
        self._start = self._end
        return PeerProtocolError(reason)
