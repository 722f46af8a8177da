"""Which role this process is in: idle, primary (``replicator.serving``) or secondary (``replicator.secondary``).

One at a time. It decides no role: the agent does. It refuses what would break a rule that it can check itself, and puts
an epoch on the disk before it uses it (S8).
"""

import enum
import os
from collections.abc import Callable
from functools import partial

from manager.model import control
from replicator.dirty_keeper import DirtyKeeper
from replicator.fuse import mounting
from replicator.occupied import why_occupied
from replicator.parts import Parts
from replicator.peers import PrimarySettings
from replicator.process import Collector
from replicator.role_notes import RoleNotes
from replicator.serving import Serving
from replicator.warden import boottime_ns


class Role(enum.Enum):
    """What this process is."""

    IDLE = "idle"
    PRIMARY = "primary"
    SECONDARY = "secondary"


class RefusedCommand(Exception):
    """A command that cannot be done; nothing was changed."""


def _refuse(why: str) -> None:
    if why:
        raise RefusedCommand(why)


class Roles:
    """The role of one module's replicator. All calls are on the loop; one of those that change it at a time."""

    def __init__(self, parts: Parts, on_fenced: Callable[[], None], on_memory_lost: Callable[[], None]) -> None:
        """Idle. ``on_fenced``: the mounts are dead, and what is left of the role is to be put away.

        ``on_memory_lost``: what was in memory here may be gone, whether anybody is to be told of it or not.
        """
        self._parts = parts
        self._put_away = on_fenced
        self._on_memory_lost = on_memory_lost
        self.notes = RoleNotes(parts.volumes, parts.vouching, parts.notes, parts.asides)
        self.role = Role.IDLE
        self.epoch = 0
        self.serving: Serving | None = None
        self.fenced: control.Fenced | None = None
        """What was told of the role that is being put away."""
        self.on_ending: Callable[[str], None] = lambda reason: None
        """Told why what is under way in a primary's role comes to its end, before that role does."""
        self._deadline_ns = 0
        self._covered = False
        self._changed = 0
        """By former roles as a primary."""
        self.collector = Collector(self._is_idle)

    def _is_idle(self) -> bool:
        return self.serving is None or self.serving.primary.completions.idle

    def renew(self, deadline_ns: int) -> None:
        """A primary may serve until then."""
        self._deadline_ns = deadline_ns
        if self.serving is not None:
            self.serving.warden.renew(deadline_ns)
            self.serving.primary.drain()  # It waits where the renewal was late.

    async def serve(self, command: control.Serve) -> None:
        """Becomes the primary. Raises RefusedCommand, OSError."""
        parts, spec = self._parts, self._parts.spec
        if self.role is Role.PRIMARY:
            raise RefusedCommand(f"it is the primary of epoch {self.epoch}")
        if self._deadline_ns <= boottime_ns():
            raise RefusedCommand("no lease is valid")
        if parts.memory.is_noted:  # It was told, and stood before it heard of that.
            raise RefusedCommand("what it had in memory was lost: another process is to be asked")
        _refuse(self.notes.why_not_serve(command, idle=self.role is Role.IDLE))
        missing = [path for path in spec.must_exist if not os.path.lexists(path)]
        if missing:
            raise RefusedCommand(f"{missing[0]} is not there (must_exist)")
        await self._refuse_occupied()
        await self.leave()
        tracker = await parts.loop.run_in_executor(None, self.notes.serve, command)
        notes = parts.notes
        keeper = DirtyKeeper(
            parts.loop, tracker, notes.list, notes.write_base, notes.advance_base, parts.background, parts.log.info,
            tracks=notes.tracks,
        )  # fmt: skip
        settings = PrimarySettings(
            cluster_id=spec.cluster_id,
            module_id=spec.module_id,
            node=spec.node,
            boot_id=spec.boot_id,
            instance=parts.instance,
            epoch=command.epoch,
            peer_timeout_ms=spec.peer_timeout_ms,
            compression=spec.compression,
            credentials=parts.credentials,
            refusals=parts.refusals,
            store_id=command.store_id,
        )
        serving = Serving(
            parts.loop, parts.volumes, spec, settings, parts.event, parts.log.info, parts.background,
            self._on_fenced, partial(self.disk_failed, memory_lost=True), keeper,
        )  # fmt: skip
        serving.begin(self._deadline_ns)
        self.serving = serving
        self.role, self.epoch = Role.PRIMARY, command.epoch
        self.collector.settle()
        parts.event(control.Serving(command.epoch))

    async def follow(self, command: control.Follow) -> None:
        """Becomes a secondary, or that of another primary. Raises RefusedCommand, OSError."""
        parts = self._parts
        _refuse(self.notes.why_not_follow(command))
        if self.role is Role.PRIMARY:
            await self.leave()
        await self._refuse_occupied()
        bases = await parts.loop.run_in_executor(None, self.notes.follow, command)
        if not self._covered:
            for volume in parts.volumes:
                await parts.loop.run_in_executor(None, mounting.cover, volume.path)
            self._covered = True
        self.role, self.epoch = Role.SECONDARY, command.epoch
        self.collector.settle()
        parts.secondary.follow(command, bases)

    async def _refuse_occupied(self) -> None:
        """Somebody may have begun to work in the directories since this process was started."""
        if self.role is Role.IDLE and not self._covered:
            _refuse(await self._parts.loop.run_in_executor(None, why_occupied, self._parts.spec.directories))

    async def leave(self) -> None:
        """Idle, and the directories are plain, when this returns. Raises OSError."""
        parts = self._parts
        serving, self.serving = self.serving, None
        if serving is not None:
            self.on_ending("the role ended")
            await serving.end()
            self._changed += serving.primary.changes
            if serving.primary.untold_loss:
                self.disk_failed(serving.primary.untold_loss, memory_lost=True)
        if self.role is Role.SECONDARY:
            parts.secondary.stop_following()
            await parts.loop.run_in_executor(None, parts.notes.keep, parts.secondary.tracker)
        if self._covered:
            for volume in parts.volumes:
                await parts.loop.run_in_executor(None, mounting.uncover, volume.path)
            self._covered = False
        for volume in parts.volumes:
            volume.number_from(None)
        self.role, self.fenced = Role.IDLE, None

    def _on_fenced(self, reason: str) -> None:
        self.fenced = control.Fenced(reason)
        self._parts.event(self.fenced)
        self._put_away()

    # This node's disks

    def changes(self) -> int:
        """Differs when something may have been changed."""
        return self._changed + self._parts.secondary.changes + (self.serving.primary.changes if self.serving else 0)

    def disk_failed(self, reason: str, *, memory_lost: bool) -> None:
        """This node's own; whatever it is now, the agent has to know what it may still vouch for.

        A primary alone does not tell it yet: the process that comes after this one has to know all the same.
        """
        self._parts.log.error("disk.failed", reason=reason)
        if memory_lost:
            self._on_memory_lost()
        if self.serving is not None:
            self.serving.primary.disk_failed(reason, memory_lost)
        else:
            self._parts.secondary.fail(reason, memory_lost)
