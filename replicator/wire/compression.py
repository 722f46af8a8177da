"""Whether a body is worth compressing, and doing it: zstd, adaptive, one state a stream and direction.

Small bodies are never compressed, whatever they are: their latency is what the application waits for. *Measured* on
the machine that runs the tests: zstd level 1 takes 9 µs for 4 KiB of log lines and the other end 4 µs, for 8 KiB 16
and 7, of a round trip of about 100 µs; a network of 1 Gbit/s gives back 33 and 52. So it starts at 16 KiB. What does
not shrink is found out by a sample of a few KiB (3 µs), and after that tried more and more rarely.
"""

from collections.abc import Sequence
from typing import Final

import zstandard

from manager.model.errors import PeerProtocolError
from replicator.wire.frames import MAX_BODY

Part = bytes | memoryview

THRESHOLD: Final = 16 << 10
"""Plain bytes of a body from which compression is considered."""
LEVEL: Final = 1
SAMPLE: Final = 4 << 10
WORTH: Final = 0.8
"""A body that does not shrink below this is sent as it is."""
MOST_SKIPPED: Final = 64
"""Bodies that are sent untried after one that did not shrink; doubled from 1 up to this while none does."""
_MAX_WINDOW: Final = 1 << 21


class Compressor:
    """Of one direction of one stream."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
        self._skip = 0
        self._next_skip = 1

    def compress(self, parts: Sequence[Part], plain: int) -> bytes | None:
        """The ``plain`` bytes of ``parts`` as one zstd frame; ``None``: send them as they are."""
        if plain < THRESHOLD:
            return None
        if self._skip:
            self._skip -= 1
            return None
        body = self._attempt(parts, plain)
        if body is None:
            self._skip = self._next_skip
            self._next_skip = min(2 * self._next_skip, MOST_SKIPPED)
        else:
            self._next_skip = 1
        return body

    def _attempt(self, parts: Sequence[Part], plain: int) -> bytes | None:
        largest = max(parts, key=len)
        middle = (len(largest) - SAMPLE) // 2
        if middle > 0 and len(self._zstd.compress(largest[middle : middle + SAMPLE])) > WORTH * SAMPLE:
            return None
        state = self._zstd.compressobj(size=plain)
        chunks = [state.compress(part) for part in parts]
        chunks.append(state.flush())
        body = b"".join(chunks)
        return body if len(body) <= WORTH * plain else None


class Decompressor:
    """Of one direction of one stream."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)

    def decompress(self, body: memoryview, plain: int) -> memoryview:
        """The ``plain`` bytes that ``body`` stands for; no more memory than that is taken.

        Raises:
            PeerProtocolError: it is not one zstd frame of just so many bytes.
        """
        if plain > MAX_BODY:
            raise PeerProtocolError(f"bad frame: {plain} compressed bytes")
        try:
            if zstandard.frame_content_size(body) != plain:
                raise PeerProtocolError("bad frame: it says another size than its compressed body")
            found = self._zstd.decompress(body, max_output_size=plain, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise PeerProtocolError(f"bad frame: {error}") from None
        if len(found) != plain:
            raise PeerProtocolError("bad frame: a compressed body is cut off")
        return memoryview(found)
