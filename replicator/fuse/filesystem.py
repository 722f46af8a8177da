"""One mounted directory: the kernel's requests on one side, the issuer and the files below on the other, composed."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from manager.model.errors import MirrorfarmError
from replicator.background import Background
from replicator.core.issuing import Issuer
from replicator.disk.volume import Volume
from replicator.fuse import requests
from replicator.fuse.abi import Opcode
from replicator.fuse.context import Context
from replicator.fuse.device import Answers, Device
from replicator.fuse.handlers_attributes import AttributeHandlers
from replicator.fuse.handlers_directories import DirectoryHandlers
from replicator.fuse.handlers_names import NameHandlers
from replicator.fuse.mounting import Mount
from replicator.fuse.reading import FileHandlers
from replicator.fuse.requests import Header
from replicator.fuse.session import SessionHandlers
from replicator.fuse.space import SpaceGuard
from replicator.fuse.writing import Writer


class MountLost(MirrorfarmError):
    """The kernel has ended the connection, and not at our request: unmounted or aborted by somebody."""


class FileSystem:
    """The file system in front of one volume, mounted once. All but ``cut`` and ``abort`` is for the loop's thread."""

    def __init__(
        self,
        volume: Volume,
        issuer: Issuer,
        background: Background,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Exception], None],
        source: str = "mirrorfarm",
        guard: SpaceGuard | None = None,
    ) -> None:
        """``report`` is told of what must not happen: DivergenceError, PeerProtocolError, OSError, MountLost.

        ``source`` is what mount(8) shows; ``guard``: see :class:`Context`.
        """
        answers = Answers()
        self.context: Final = Context(volume, issuer, answers, background, report, guard)
        self._volume = volume
        self._background = background
        self._report = report
        self._source = source
        self._directories = DirectoryHandlers(self.context)
        self._names = NameHandlers(self.context)
        self._device = Device(loop, answers, self._handlers(answers), report, self._ended)
        self._writer = Writer(self.context, self._device.give_back)
        self._mount: Mount | None = None
        self._leaving = False

    def _handlers(self, answers: Answers) -> dict[int, Callable[[Header, Any], None]]:
        return {
            **SessionHandlers(answers).table(),
            **FileHandlers(self.context).table(),
            **AttributeHandlers(self.context).table(),
            **self._directories.table(),
            **self._names.table(),
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._forget_all,
        }

    def _forget(self, header: Header, request: int) -> None:
        self._names.forget(((header.node, request),))

    def _forget_all(self, _header: Header, request: requests.Forget) -> None:
        self._names.forget(request.nodes)

    def mount(self) -> None:
        """Mounts over the volume's directory and serves from now on. The volume gives ids by then. Raises OSError."""
        self.context.guard.refresh()
        self._mount = Mount.over(self._volume.path, self._source)
        self._device.open(self._mount.device_fd, self._writer.take)

    def cut(self) -> None:
        """Every request fails from now on; the mount is in front of the directory yet. Any thread. Raises OSError."""
        self._leaving = True
        mount = self._mount  # read once: the loop may be putting it away
        if mount is not None:
            mount.abort()

    def abort(self) -> None:
        """As :meth:`cut`, and the mount is detached; the directory is plain. Raises OSError."""
        self.cut()
        mount = self._mount
        if mount is not None:
            mount.detach()

    def unmount(self, done: Callable[[OSError | None], None]) -> None:
        """Ends the mount, then calls ``done`` on the loop: what the kernel still has to write is served first.

        Who still uses it gets errors from then on. After :meth:`abort` it only tidies up. The volume stays open, and
        its inodes live: what was issued last, which nobody waits for, may be under way.
        """
        self._leaving = True
        mount = self._mount
        if mount is None:
            done(None)
            return

        def unmounted(_: None) -> None:
            self._mount = None
            mount.close()
            self._device.close()
            self._directories.close()
            done(None)

        self._background.run(mount.unmount, unmounted, done)

    def rest(self) -> None:
        """To be called every second: ships times of files at rest, measures what is free."""
        self.context.rest()

    def _ended(self) -> None:
        """The kernel has ended the connection. What is under way is still done, for nobody."""
        if not self._leaving:
            self._report(MountLost(f"the mount on {self._volume.path} is gone"))
