"""One mounted directory: the kernel's requests on one side, the issuer and the files below on the other, composed."""

import asyncio
from collections.abc import Callable
from typing import Final

from manager.model.errors import MirrorfarmError
from replicator.background import Background
from replicator.core.issuing import Issuer
from replicator.disk.volume import Volume
from replicator.fuse.context import Context


class MountLost(MirrorfarmError):
    """The kernel has ended the connection, and not at our request: unmounted or aborted by somebody."""


class FileSystem:
    """The file system in front of one volume. All methods but :meth:`abort` are for the loop's thread."""

    context: Final[Context]

    def __init__(
        self,
        volume: Volume,
        issuer: Issuer,
        background: Background,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Exception], None],
        source: str = "mirrorfarm",
    ) -> None:
        """``report`` is told of what must not happen: DivergenceError, PeerProtocolError, OSError, MountLost."""
        ...

    def mount(self) -> None:
        """Mounts over the volume's directory and serves from now on. ``volume.number_from`` was called. Raises OSError."""
        ...

    def abort(self) -> None:
        """Every request fails from now on, and the mount is detached; the directory is plain. Any thread.

        Raises OSError.
        """
        ...

    def unmount(self, done: Callable[[OSError | None], None]) -> None:
        """Ends the mount, then calls ``done`` on the loop: what the kernel still has to write is served first.

        Who still uses it gets errors from then on. After :meth:`abort` it only tidies up. The volume stays open.
        """
        ...

    def rest(self) -> None:
        """To be called every second: ships times of files at rest, measures what is free."""
        ...
