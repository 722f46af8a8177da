"""A primary on real directories, and a secondary that says what the test tells it, in one loop."""

import os
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from manager.model import control
from replicator.background import Background
from replicator.core.dirty import Dirty
from replicator.core.filesystem import Free, Limits
from replicator.core.operations import Kind, Operation, Write
from replicator.core.tracking import Mode, Tracker
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk import base
from replicator.disk.dirty_list import DirtyList
from replicator.disk.inode_ids import InodeIds
from replicator.disk.limits import WHEN_FULL
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Inode, Volume
from replicator.link import Link
from replicator.peer import Peer
from replicator.peers import PrimarySettings
from replicator.primary import Primary
from replicator.refusals import Refusals
from replicator.streams import Hooks
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from replicator.wire.messages import Hello, Refused, Welcome
from replicator.wire.operations import decode
from tests.unit.replicator.loops import SteppedLoop

E = TypeVar("E")
EPOCH = 5
TIMEOUT_MS = 1000


class Secondary:
    """Whoever answers at the endpoint: remembers what comes, acknowledges when it is told to."""

    def __init__(self, loop: SteppedLoop, node: str = "b", answer: Refused | None = None) -> None:
        self.node = node
        self.hellos: list[Hello] = []
        self.frames: list[tuple[int, int, bytes]] = []
        self.operations: list[Operation] = []
        """The Bind and Unbind among them left out."""
        self.bound: list[int] = []
        self.asked: list[int] = []
        """Questions for a promise."""
        self.acknowledges = False
        """At once, everything."""
        self.diverged = False
        """Something of its copy is to be set aside."""
        self.bases: tuple[str, ...] = ()
        self.silent = False
        """Answers no greeting."""
        self.sequence = 0
        self.lost = 0
        self.link: Link | None = None
        self.free = [Free(1 << 40, 1 << 20)]
        self.answer = answer
        self._loop = loop
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._listener.setblocking(False)
        loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        self.sequence = 0
        self.link = Link(self._loop, sock, EPOCH, self._on_frame, self._on_lost)

    def _on_lost(self, _reason: str) -> None:
        self.lost += 1

    def _on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        assert self.link is not None
        if kind == FrameKind.HELLO:
            self.hellos.append(messages.decode_hello(body))
            self._greet(self.link)
            return
        if kind == FrameKind.PROMISE_ASK:
            assert sequence == 0
            self.asked.append(messages.decode_promise_ask(body))
            return
        assert sequence == self.sequence + 1
        self.sequence = sequence
        self.frames.append((kind, sequence, bytes(body)))
        if kind in Kind.__members__.values():
            operation = decode(kind, memoryview(bytes(body)), 1)
            if operation.kind is Kind.BIND:
                self.bound.append(operation.inode)
            elif operation.kind is Kind.UNBIND:
                self.bound.remove(operation.inode)
            else:
                self.operations.append(operation)
        if self.acknowledges:
            self.acknowledge()

    def _greet(self, link: Link) -> None:
        if self.silent:
            return
        if self.answer is not None:
            link.send(FrameKind.REFUSED, 0, messages.encode_handshake(self.answer))
            return
        welcome = Welcome(
            self.node,
            f"boot-{self.node}",
            f"instance-{self.node}",
            EPOCH,
            (WHEN_FULL,),
            tuple(self.free),
            self.bases,
            self.diverged,
        )
        link.send(FrameKind.WELCOME, 0, messages.encode_handshake(welcome))
        link.agree(EPOCH)

    def acknowledge(self, sequence: int = 0) -> None:
        assert self.link is not None
        self.link.send_bare(FrameKind.ACK, sequence or self.sequence)

    def send(self, kind: FrameKind, sequence: int, body: bytes = b"") -> None:
        assert self.link is not None
        self.link.send(kind, sequence, body)

    def kinds(self) -> list[int]:
        return [kind for kind, _, _ in self.frames]

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        if self.link is not None:
            self.link.close()


class Joiner:
    """Lists nothing; remembers what it was asked."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.calls: list[str] = []
        self.allows = True
        self.turns = 0
        """How often it breathes before it has prepared something."""

    def start(self) -> Iterable[None]:
        self.calls.append("start")
        return ()

    def may_ship(self, operation: Operation) -> bool:
        self.calls.append(f"may_ship {operation.kind.name}")
        return self.allows

    def prepare(self, operation: Operation) -> Iterable[None]:
        yield from [None] * self.turns
        self.calls.append(f"prepare {operation.kind.name}")
        self.peer.send(FrameKind.LISTING, b"listing")

    def answered(self, kind: FrameKind, sequence: int, body: memoryview) -> None:
        self.calls.append(f"answered {kind.name} {sequence}")

    def lost(self) -> None:
        self.calls.append("lost")


class Fence:
    """The warden's flag."""

    fenced = False
    due = False

    def is_due(self) -> bool:
        return self.due or self.fenced


class FailingVolume(Volume):
    """Fails the next operations with these errnos."""

    failures: list[int]
    sync_failures: list[int]
    answers: threading.Event
    """A sync that fails says so once this is set."""

    def syncfs(self) -> None:
        if self.sync_failures:
            code = self.sync_failures.pop(0)
            self.answers.wait(10.0)
            raise OSError(code, os.strerror(code))
        super().syncfs()

    def apply(self, operation: Operation) -> int:
        if self.failures and operation.kind is not Kind.SETATTR:
            code = self.failures.pop(0)
            if code:
                raise OSError(code, os.strerror(code))
        return super().apply(operation)


class Stage:
    """A primary of one directory with two files, whose record lists it alone."""

    def __init__(self, loop: SteppedLoop, path: Path) -> None:
        self.loop = loop
        self.events: list[control.Event] = []
        self.notes: list[str] = []
        self.losses: list[str] = []
        """What the process was told of its disk; as long as it is the primary, that is told, too."""
        self.space: list[tuple[int, Free | None, Limits | None]] = []
        self.joiners: list[Joiner] = []
        self.setting_aside: list[tuple[Peer, Callable[[], None]]] = []
        """Peers that are to set aside what differs, and what is to be called when they have."""
        self.secondaries: list[Secondary] = []
        self.fence = Fence()
        self.root = path / "data"
        self.root.mkdir()
        for name in ("one", "two"):
            (self.root / name).write_bytes(b"old content of " + name.encode())
        volume = FailingVolume.open(str(self.root))
        assert isinstance(volume, FailingVolume)
        self.volume: FailingVolume = volume
        self.volume.failures = []
        self.volume.sync_failures = []
        self.volume.answers = threading.Event()
        self.volume.answers.set()
        self.volume.number_from(InodeIds(EPOCH))
        self.background = Background(loop)
        private = (self.volume.private_fd,)
        self.keeper = DirtyKeeper(
            loop,
            Tracker(LiveNames([self.volume])),
            DirtyList(private[0]),
            lambda made: base.write_base(private, made, ""),
            partial(self._advance_base, private),
            self.background,
            self._note,
            tracks=True,
        )
        self.refusals = Refusals(loop.time)
        self.primary = Primary(
            loop,
            [self.volume],
            PrimarySettings(
                "cluster", "module", "a", "boot-a", "instance-a", EPOCH, TIMEOUT_MS, True, refusals=self.refusals
            ),
            Hooks(self.events.append, lambda *told: self.space.append(told), self._note, self._disk_lost),
            self.background,
            self.fence,
            self._join,
            self._set_aside,
            self.keeper,
        )
        self.number = 0

    def _advance_base(self, private: tuple[int, ...], made: str) -> None:
        base.advance_base(private, made)

    def _note(self, name: str, **values: object) -> None:
        self.notes.append(f"{name} {values.get('reason', '')}")

    def _disk_lost(self, reason: str) -> None:
        self.losses.append(reason)
        self.primary.disk_failed(reason, memory_lost=True)

    def _join(self, peer: Peer, dirty: Dirty) -> Joiner:
        self.joiners.append(Joiner(peer))
        return self.joiners[-1]

    def _set_aside(self, peer: Peer, done: Callable[[], None]) -> None:
        self.setting_aside.append((peer, done))

    def settle(self, *holders: str, number: int | None = None, epoch: int = EPOCH) -> None:
        self.number = self.number + 1 if number is None else number
        self.primary.settled(control.Settled(epoch, self.number, 100 + self.number, ("a", *holders)))

    def inode(self, name: str) -> Inode:
        root = self.volume.inode(1)
        inode, _ = self.volume.lookup(root, name.encode())
        self.volume.hold(inode)
        return inode

    def secondary(self, node: str = "b", answer: Refused | None = None) -> Secondary:
        """One that is connected to from now on."""
        made = Secondary(self.loop, node, answer)
        self.secondaries.append(made)
        self.primary.streams.connect(node, "127.0.0.1", made.port)
        return made

    def joining(self, node: str = "b") -> Secondary:
        """One whose stream has begun."""
        before = len(self.joiners)
        made = self.secondary(node)
        self.loop.until(lambda: len(self.joiners) > before)
        return made

    def complete(self, node: str = "b") -> Secondary:
        """One past its join point, and listed."""
        made = self.joining(node)
        peer = self.joiners[-1].peer
        self.primary.when_quiet(lambda: self.primary.streams.join_point(peer))
        self.until_sent(made)
        made.acknowledge()
        made.send(FrameKind.DURABLE, made.sequence)
        self.loop.until(lambda: any(isinstance(event, control.PeerComplete) for event in self.events))
        self.settle(node)
        self.loop.until(lambda: self.keeper.tracker.mode is Mode.MEMORY)
        self.events.clear()
        return made

    def until_sent(self, secondary: Secondary) -> None:
        """What was sent has come."""
        (peer,) = (peer for peer in self.primary.standing if peer.node == secondary.node)
        self.loop.until(lambda: secondary.sequence == peer.sequence)

    def write(self, inode: Inode, data: bytes, results: list[int], offset: int = 0) -> None:
        """Issues a write; its result is appended when it completes."""
        self.primary.issue(Write(0, inode.id, offset, data), results.append)

    def until(self, condition: Callable[[], object]) -> None:
        self.loop.until(condition)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def close(self) -> None:
        self.primary.close()
        self.background.close()
        self.loop.turn()
        for secondary in self.secondaries:
            secondary.close()
        self.volume.close()
