"""How kernel and file system agree on what they speak, and what ends it."""

from collections.abc import Callable
from typing import Any, Final

from manager.model.errors import PeerProtocolError
from replicator.fuse import abi, replies, requests
from replicator.fuse.abi import InitFlag, Opcode
from replicator.fuse.context import Replies
from replicator.fuse.requests import Header

REQUIRED: Final = (
    InitFlag.BIG_WRITES
    | InitFlag.MAX_PAGES
    | InitFlag.DONT_MASK
    | InitFlag.POSIX_ACL
    | InitFlag.HANDLE_KILLPRIV_V2
    | InitFlag.SETXATTR_EXT
)
"""Without these the handlers would do something else than what is meant."""
WANTED: Final = (
    REQUIRED
    | InitFlag.ASYNC_READ
    | InitFlag.ASYNC_DIO
    | InitFlag.DO_READDIRPLUS
    | InitFlag.READDIRPLUS_AUTO
    | InitFlag.PARALLEL_DIROPS
    | InitFlag.ABORT_ERROR
    | InitFlag.CACHE_SYMLINKS
    | InitFlag.EXPLICIT_INVAL_DATA
    | InitFlag.INIT_EXT
)
"""Not the writeback cache: it would complete writes before they are seen here. Locks are the kernel's own.

Nor O_TRUNC with the OPEN (ATOMIC_O_TRUNC): then the kernel does not hold the file's lock, and what is appended just
then is put behind what is going. For a SETATTR of its own it does.
"""


def agree(request: requests.Init) -> bytes:
    """The answer to INIT.

    Raises:
        PeerProtocolError: this kernel cannot do what is needed.
    """
    if request.major != abi.VERSION or request.minor < abi.OLDEST_MINOR:
        raise PeerProtocolError(f"the kernel speaks FUSE {request.major}.{request.minor}, 7.36 or later is needed")
    missing = REQUIRED & ~InitFlag(request.flags & REQUIRED)
    if missing:
        raise PeerProtocolError(f"the kernel's FUSE lacks {missing!r}")
    return replies.init(request.minor, request.max_readahead, int(WANTED) & request.flags)


class SessionHandlers:
    """Of one mounted directory."""

    def __init__(self, answers: Replies) -> None:
        self._replies = answers

    def table(self) -> dict[int, Callable[[Header, Any], None]]:
        """Opcode to handler."""
        return {Opcode.INIT: self.init, Opcode.DESTROY: self.destroy}

    def init(self, header: Header, request: requests.Init) -> None:
        """INIT."""
        self._replies.ok(header.unique, agree(request))

    def destroy(self, header: Header, _request: requests.Nothing) -> None:
        """DESTROY: what is left to tidy up is done when the connection has ended."""
        self._replies.ok(header.unique)
