"""The role of the primary: its file systems, their issuer and the warden, begun and ended together.

What the agent commands comes through ``replicator.commands``.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from manager.model.control import Event
from manager.model.replicator_spec import ReplicatorSpec
from replicator.addresses import AddressRemover
from replicator.background import Background
from replicator.core.dirty import Dirty
from replicator.core.filesystem import Free, Limits
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import Inode, Volume
from replicator.fuse.filesystem import FileSystem, MountLost
from replicator.fuse.space import guards_of
from replicator.joiner import Joiner
from replicator.pacing import Bandwidth
from replicator.peer import Peer
from replicator.peers import Note, PrimarySettings
from replicator.primary import Primary
from replicator.setting_aside import SettingAside
from replicator.streams import Hooks
from replicator.throttle import minute_of_day
from replicator.warden import Warden

UNMOUNT_SECONDS: Final = 5.0
"""For what the kernel still has to write; then the mount is aborted."""


class Serving:
    """This process as the primary of one epoch."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        volumes: Sequence[Volume],
        spec: ReplicatorSpec,
        settings: PrimarySettings,
        event: Callable[[Event], None],
        note: Note,
        background: Background,
        on_fenced: Callable[[str], None],
        on_disk_lost: Callable[[str], None],
        keeper: DirtyKeeper,
    ) -> None:
        """``on_fenced`` is called on the loop, with the reason.

        So is ``on_disk_lost``, by what was begun in this role also when it has ended.
        """
        self.epoch: Final = settings.epoch
        self._bandwidth = Bandwidth(spec.resync_bytes_s, spec.resync_windows)
        self._loop = loop
        self._note = note
        self._event = event
        self._background = background

        def fenced(reason: str) -> None:
            loop.call_soon_threadsafe(on_fenced, reason)

        self.warden: Final = Warden(spec.cgroup, AddressRemover(spec.addresses), fenced)
        ids = InodeIds(settings.epoch)
        for volume in volumes:
            volume.forget_all()
            volume.number_from(ids)
            volume.on_adopted = partial(keeper.adopted, volume.index)
        hooks = Hooks(event=event, space=self._space, note=note, disk_lost=on_disk_lost)
        self.primary: Final = Primary(
            loop, volumes, settings, hooks, background, self.warden, self._join, self._set_aside, keeper
        )
        self.file_systems: Final = [
            FileSystem(volume, self.primary, background, loop, self._report, f"mirrorfarm:{spec.module}", guard)
            for volume, guard in zip(volumes, guards_of(volumes), strict=True)
        ]
        self._timer: asyncio.TimerHandle | None = None
        self._freezing = False

    def begin(self, deadline_ns: int) -> None:
        """Mounts, and serves until the deadline. Raises OSError: nothing is mounted then."""
        self.warden.start()
        mounted: list[FileSystem] = []
        try:
            for file_system in self.file_systems:
                file_system.mount()
                mounted.append(file_system)
                self.warden.guard(deadline_ns, mounted)
        except OSError:
            for file_system in mounted:
                file_system.abort()
            self.warden.stand_down()
            self.warden.stop()
            self.primary.close()
            raise
        self._timer = self._loop.call_later(1.0, self._rest)

    async def end(self) -> None:
        """Unmounts. What cannot be completed any more is aborted: its callers get an error."""
        if self._timer is not None:
            self._timer.cancel()
        self.warden.stand_down()
        completions = self.primary.completions
        if self.primary.stopped or completions.held or self.primary.frozen:
            self._abort()
        await asyncio.gather(*(self._unmount(file_system) for file_system in self.file_systems))
        self.primary.close()
        for volume in self.primary.volumes:
            volume.forget_all()
        await self.primary.keeper.end()
        for volume in self.primary.volumes:
            volume.on_adopted = None
        await self._loop.run_in_executor(None, self.warden.stop)

    def freeze(self) -> None:
        """Takes no more changes once the times that are not shipped yet are: the copies are the same when it is frozen.

        The application has been stopped; what it still wrote after this moment has its own time at each node.
        """
        self._freezing = True
        left = len(self.file_systems)

        def one_less() -> None:
            nonlocal left
            left -= 1
            if not left and self._freezing:
                self.primary.freeze()

        def ship() -> None:
            for file_system in self.file_systems:
                file_system.context.ship_all_times(one_less)

        self.primary.when_quiet(ship)

    def thaw(self) -> None:
        """Takes changes again."""
        self._freezing = False
        self.primary.thaw()

    def die(self, reason: str) -> None:
        """Fences and returns when it is done: a broken invariant ends the process."""
        self.warden.fence(reason)
        self.warden.stop()

    async def _unmount(self, file_system: FileSystem) -> None:
        done: asyncio.Future[OSError | None] = self._loop.create_future()
        file_system.unmount(lambda error: done.set_result(error) if not done.done() else None)
        finished, _ = await asyncio.wait([done], timeout=UNMOUNT_SECONDS)
        if not finished:
            self._abort()
        error = await done
        if error is not None:
            self._note("mount.not_removed", error=str(error))

    def _abort(self) -> None:
        for file_system in self.file_systems:
            with contextlib.suppress(OSError):  # it is gone already
                file_system.abort()

    def _rest(self) -> None:
        self._timer = self._loop.call_later(1.0, self._rest)
        self.primary.tick()
        for file_system in self.file_systems:
            file_system.rest()

    # For whoever brings a peer in sync

    def _join(self, peer: Peer, dirty: Dirty) -> Joiner:
        return Joiner(
            self._loop,
            self.primary,
            peer,
            self.primary.volumes,
            self._background,
            self,
            lambda: self.primary.streams.join_point(peer),
            self._event,
            dirty,
            self.primary.keeper.names_unclear,
            self._bandwidth,
            minute_of_day,
        )

    def _set_aside(self, peer: Peer, done: Callable[[], None]) -> None:
        primary = self.primary
        asking = SettingAside(
            self._loop, peer, primary.volumes, self._background, self._bandwidth, minute_of_day,
            lambda: primary.changes, self._event, done,
        )  # fmt: skip
        peer.ask_by(asking)
        asking.start()

    def release(self, volume: int, inode: Inode) -> None:
        """Ends one hold on an inode; the peers are told when it is not live any more for it."""
        self.file_systems[volume].context.release(inode, 1)

    def is_touched(self, volume: int, inode: int) -> bool:
        """Whether the inode's mtime is not shipped yet."""
        return inode in self.file_systems[volume].context.touched

    def _space(self, index: int, free: Free | None, limits: Limits | None) -> None:
        self.file_systems[index].context.set_peer(free, limits)

    def _report(self, error: Exception) -> None:
        self.primary.fail(f"{type(error).__name__}: {error}")
        if isinstance(error, MountLost):
            # The application has the plain directory: it is not to wait for an agent.
            self.warden.fence(str(error))
