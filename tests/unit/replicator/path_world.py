"""The whole way of a change in one loop: a kernel, the device, a primary with its joiner, the stream, a secondary.

All of it is the shipped code but the kernel (``path_kernel``) and the agent, which settles a record when it has heard
why. Sockets and threads are real, so what happens between two steps is not only the seed's.
"""

import asyncio
import errno
import os
import random
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from manager.model import control
from manager.model.replicator_spec import ReplicatorSpec
from replicator.applier import Copier
from replicator.asides import Asides
from replicator.background import Background
from replicator.core.dirty import Dirty
from replicator.core.filesystem import Free, Limits
from replicator.core.operations import Create, Fallocate, Operation, SetXattr, Write
from replicator.core.tracking import Mode, Tracker
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk import base
from replicator.disk.dirty_list import DirtyList
from replicator.disk.inode_ids import InodeIds
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Inode, Volume
from replicator.fuse.filesystem import FileSystem
from replicator.join_receiver import JoinReceiver
from replicator.joiner import Joiner
from replicator.leftovers import Leftovers
from replicator.link import Link
from replicator.pacing import Bandwidth
from replicator.peer import Peer
from replicator.peers import PrimarySettings
from replicator.primary import Primary
from replicator.secondary import Secondary
from replicator.streams import Hooks
from replicator.vouching import Vouching
from tests.unit.replicator.loops import SteppedLoop
from tests.unit.replicator.path_kernel import Kernel
from tests.unit.replicator.secondaries import Fence

EPOCH = 5
TIMEOUT_MS = 3000
_SOCKET_BYTES = 32 << 10
"""Of a socket that takes little at once."""
_MOST_TURNS = 4000


class Disk(Volume):
    """Has no room for an operation, or for the second half of a write, when it is told so."""

    refuses: Callable[[Operation], bool]

    def apply(self, operation: Operation) -> int:
        if not self.refuses(operation):
            return super().apply(operation)
        if isinstance(operation, Write):
            half = operation.data[: len(operation.data) // 2]
            super().apply(Write(operation.volume, operation.inode, operation.offset, half))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class World:
    """Both nodes, and what becomes of them."""

    def __init__(self, loop: SteppedLoop, path: Path, rng: random.Random) -> None:
        self.loop, self._rng = loop, rng
        self.roots = path / "here", path / "there"
        for root in self.roots:
            root.mkdir()
        self._events: list[control.Event] = []
        """The primary's, that the agent has not taken."""
        self._failures: list[object] = []
        self._room, self._refuses_names = rng.choice([0.0, 0.05, 0.2]), rng.choice([0.0, 0.0, 0.1])
        self._takes_little = rng.random() < 0.7
        here = Disk.open(str(self.roots[0]))
        assert isinstance(here, Disk)
        self.here = here
        self.here.refuses = self._has_no_room
        self.here.number_from(InodeIds(EPOCH))
        self._begin_primary()
        self._begin_secondary(acknowledge_disk=rng.random() < 0.2)
        self._number = 0
        self._settle()
        self.primary.streams.connect("b", "127.0.0.1", self._port)

    def _begin_primary(self) -> None:
        self._background = Background(self.loop)
        private = (self.here.private_fd,)
        self._keeper = DirtyKeeper(
            self.loop,
            Tracker(LiveNames([self.here])),
            DirtyList(self.here.private_fd),
            lambda made: base.write_base(private, made, ""),
            partial(_advance, private),
            self._background,
            self._note,
            tracks=True,
        )
        self.here.on_adopted = partial(self._keeper.adopted, 0)
        self.primary = Primary(
            self.loop,
            [self.here],
            PrimarySettings("cluster", "module", "a", "boot-a", "instance-a", EPOCH, TIMEOUT_MS, True),
            Hooks(self._told, self._space, self._note, self._failures.append),
            self._background,
            Fence(),
            self._join,
            lambda peer, done: None,
            self._keeper,
        )
        self.system = FileSystem(self.here, self.primary, self._background, self.loop, self._failures.append)
        self.system.context.guard.refresh()
        self.kernel = Kernel(self.system, self._rng)

    def _begin_secondary(self, acknowledge_disk: bool) -> None:
        self.there = Volume.open(str(self.roots[1]))
        volumes = [self.there]
        self._other_background = background = Background(self.loop)
        spec = ReplicatorSpec(
            cluster_id="cluster",
            module="db",
            module_id="module",
            node="b",
            boot_id="boot-b",
            directories=(str(self.roots[1]),),
            control_socket="",
            listen_host="127.0.0.1",
            listen_port=0,
            peer_timeout_ms=TIMEOUT_MS,
            acknowledge_disk=acknowledge_disk,
            compression=True,
            must_exist=(),
            cgroup="",
            log_file="",
        )
        vouching = Vouching(volumes, spec)
        asides = Asides(self.loop, volumes, spec, background, vouching, self._other_told, _ignore)
        self.secondary = Secondary(
            self.loop,
            volumes,
            spec,
            "instance-b",
            background,
            self._other_told,
            self._copier,
            _ignore,
            Tracker(LiveNames(volumes)),
            DirtyList(self.there.private_fd),
            asides,
            vouching,
            Leftovers(volumes, background, _ignore),
        )
        self._port = self.secondary.listen()
        vouching.note(EPOCH, revision=1)
        self.secondary.follow(control.Follow(epoch=EPOCH, revision=1, primary="a"))

    def close(self) -> None:
        self.system._device.close()
        self.primary.close()
        self.secondary.close()
        self.loop.turn(5)
        for background in (self._background, self._other_background):
            background.close()
        self.here.close()
        self.there.close()
        self.kernel.close()

    def _has_no_room(self, operation: Operation) -> bool:
        if isinstance(operation, Write | Fallocate):
            return self._rng.random() < self._room
        alone = not self.primary.completions.required
        return alone and isinstance(operation, Create | SetXattr) and self._rng.random() < self._refuses_names

    # What the parts are given

    def _note(self, name: str, **values: object) -> None:
        """Nobody reads the log."""

    def _space(self, _index: int, free: Free | None, limits: Limits | None) -> None:
        self.system.context.set_peer(free, limits)

    def _told(self, event: control.Event) -> None:
        self._events.append(event)
        if isinstance(event, control.Failed):
            self._failures.append(event)

    def _other_told(self, event: object) -> None:
        if isinstance(event, control.Failed):
            self._failures.append(event)

    def _copier(self, link: Link) -> Copier:
        return JoinReceiver([self.there], link, self._other_background)

    def _join(self, peer: Peer, dirty: Dirty) -> Joiner:
        if self._takes_little:
            _narrow(peer._link, socket.SO_SNDBUF)
            if self.secondary._stream is not None:
                _narrow(self.secondary._stream.link, socket.SO_RCVBUF)
        return Joiner(
            self.loop,
            self.primary,
            peer,
            self.primary.volumes,
            self._background,
            self,
            lambda: self.primary.streams.join_point(peer),
            _ignore,
            dirty,
            self._keeper.names_unclear,
            Bandwidth(0, ()),
            lambda: 0,
        )

    def release(self, volume: int, inode: Inode) -> None:
        """As replicator.serving.Serving, for a joiner."""
        self.system.context.release(inode, 1)

    def is_touched(self, volume: int, inode: int) -> bool:
        """As replicator.serving.Serving, for a joiner."""
        return inode in self.system.context.touched

    # The agent

    def _settle(self, *holders: str) -> None:
        self._number += 1
        command = control.Settled(EPOCH, self._number, 100 + self._number, ("a", *holders))
        self._settling: asyncio.Task[None] = self.loop.create_task(self._settled(command))
        self.loop.turn(1)

    async def _settled(self, command: control.Settled) -> None:
        """As replicator.commands."""
        alone = self.primary.goes_on_alone(command)
        if alone or self.primary.takes_out(command):
            await self._keeper.at_rest()
        if alone:
            self._keeper.forget_base()
            base.clear_base((self.here.private_fd,))
        self.primary.settled(command)

    def _agent(self) -> None:
        """Does what follows from the next event."""
        if not self._events or not self._settling.done():
            return
        event = self._events.pop(0)
        if isinstance(event, control.PeerLost):
            self._settle()
            self.primary.streams.connect("b", "127.0.0.1", self._port)
        elif isinstance(event, control.PeerComplete) and not any(
            isinstance(later, control.PeerLost) for later in self._events
        ):
            self._settle("b")

    # Steps

    def run(self, steps: int, cuts: int) -> None:
        """So many, as the seed says."""
        usual: list[Callable[[], object]] = [
            *[self.kernel.act] * self._rng.choice([1, 4, 16]),
            *[partial(self.loop.turn, 1)] * self._rng.choice([1, 4, 16]),
            *[self._agent] * self._rng.choice([1, 4]),
        ]
        seldom: list[Callable[[], object]] = [
            self._stall,
            *[self._resume] * 2,
            self._second,
            partial(self.loop.advance, 11.0),
            self.primary.freeze,
            *[self.primary.thaw] * 3,
        ]
        for _ in range(steps):
            if cuts and self._rng.random() < 0.006:
                cuts -= 1
                self._cut()
            self._rng.choice(usual if self._rng.random() < 0.95 else seldom)()
            self._look()

    def finish(self) -> None:
        """Lets everything come to rest, with the peer listed and the times of all files shipped."""
        self._room = self._refuses_names = 0.0
        self.primary.thaw()
        self._until(lambda: not self.kernel.waiting and self._is_listed)
        for _ in range(3):
            self._second()
            self._until(lambda: self.primary.completions.idle)

    @property
    def _is_listed(self) -> bool:
        completions = self.primary.completions
        return not self._events and "b" in completions.holders and self._keeper.tracker.mode is Mode.MEMORY

    def _until(self, so: Callable[[], bool]) -> None:
        for turn in range(_MOST_TURNS):
            self._agent()
            self._resume()
            self.loop.call_later(0.0005, self.loop.stop)
            self.loop.run_forever()
            if turn % 10 == 0:
                self.loop.advance(0.05)
            self._look()
            if turn > 20 and so():
                return
        raise AssertionError(f"it does not come to rest: {self.primary.streams.states()}, {self.primary.counters()}")

    def _look(self) -> None:
        self.kernel.receive()
        assert not self.loop.errors, self.loop.errors
        assert not self._failures, self._failures

    def _cut(self) -> None:
        if self._rng.random() < 0.5:
            for peer in self.primary.standing:
                peer.drop("cut")
        elif self.secondary._stream is not None:
            self.secondary._stream.link._lose("cut")

    def _stall(self) -> None:
        """The secondary takes nothing for now."""
        if self.secondary._stream is not None:
            self.secondary._stream.link.pause_reading()

    def _resume(self) -> None:
        if self.secondary._stream is not None:
            self.secondary._stream.link.resume_reading()

    def _second(self) -> None:
        """As replicator.serving, each second."""
        self.primary.tick()
        self.system.rest()


def _advance(private: tuple[int, ...], made: str) -> None:
    base.advance_base(private, made)


def _narrow(link: Link, option: int) -> None:
    if not link.closed:
        with socket.socket(fileno=os.dup(link._fd)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)


def _ignore(*_told: object, **_values: object) -> None:
    return None
