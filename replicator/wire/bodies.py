"""Takes the body of a copy frame apart, field by field; what the fields mean is not known here.

Whatever is not there raises :class:`PeerProtocolError`. All integers are little-endian.
"""

import struct

from manager.model.errors import PeerProtocolError
from replicator.core.filesystem import PRIVATE_NAME

SHORT = struct.Struct("<H")
"""A number of bytes, or of names."""
COUNT = struct.Struct("<I")
"""A number of what follows, where it may be larger."""


class Body:
    """One that is being read."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next so many bytes. Raises PeerProtocolError."""
        end = self._at + count
        if end > len(self._body):
            raise PeerProtocolError("bad copy frame: too short")
        data = bytes(self._body[self._at : end])
        self._at = end
        return data

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """The next fields. Raises PeerProtocolError."""
        return layout.unpack(self.take(layout.size))

    def short(self) -> bytes:
        """Bytes with their number before them. Raises PeerProtocolError."""
        return self.take(self.unpack(SHORT)[0])

    def name(self) -> bytes:
        """A name in a directory. Raises PeerProtocolError."""
        name = self.short()
        if not name or len(name) > 255 or b"/" in name or b"\0" in name or name in (b".", b".."):
            raise PeerProtocolError(f"bad copy frame: {name[:32]!r} is no name")
        return name

    def path(self) -> tuple[bytes, ...]:
        """Names from the root of a replicated directory. Raises PeerProtocolError."""
        path = tuple(self.name() for _ in range(self.unpack(SHORT)[0]))
        if path and path[0] == PRIVATE_NAME:
            raise PeerProtocolError("bad copy frame: what is reserved is no part of a copy")
        return path

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._body) - self._at)

    def end(self) -> None:
        """Nothing is left. Raises PeerProtocolError."""
        if self._at != len(self._body):
            raise PeerProtocolError("bad copy frame: too long")


def check_volume(volume: int, volumes: int) -> None:
    """Whether a module of so many directories has that one. Raises PeerProtocolError."""
    if volume >= volumes:
        raise PeerProtocolError(f"bad copy frame: directory {volume} of {volumes}")
