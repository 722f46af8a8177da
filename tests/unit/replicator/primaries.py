"""A secondary on real directories, and whoever connects to it, in one loop."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from manager.model import control
from manager.model.replicator_spec import ReplicatorSpec
from replicator.asides import Asides
from replicator.background import Background
from replicator.core.operations import Operation
from replicator.core.tracking import Tracker
from replicator.disk.dirty_list import DirtyList
from replicator.disk.limits import WHEN_FULL
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Volume
from replicator.leftovers import Leftovers
from replicator.link import Link
from replicator.refusals import Refusals
from replicator.secondary import Secondary
from replicator.vouching import Vouching
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from replicator.wire.messages import Hello, Refused, Welcome
from tests.unit.replicator.loops import SteppedLoop

EPOCH = 5
HELLO = Hello("cluster", "module", "a", "boot-a", "instance-a", EPOCH, 2, (WHEN_FULL,) * 2)
Frame = tuple[int, int, bytes]


class RecordingCopier:
    """Remembers what it gets."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.frames: list[Frame] = []
        self.begun = 0
        self.highest = 0
        self.is_unclear = False
        self.notes: list[Callable[[], None]] = []
        """What has to be noted at the join point."""
        self.joined: list[Callable[[], None]] = []
        """What has to be called when that is so."""
        self.not_joined: list[Callable[[OSError], None]] = []
        """Or where it does not come to that."""
        self.closed = 0
        self.error: Exception | None = None

    def begin(self) -> None:
        self.begun += 1

    def finish(
        self,
        sequence: int,
        note: Callable[[], None],
        joined: Callable[[], None],
        not_joined: Callable[[OSError], None],
    ) -> None:
        self.on_frame(FrameKind.FINISH, sequence, memoryview(b""))
        self.notes.append(note)
        self.joined.append(joined)
        self.not_joined.append(not_joined)

    def on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        if self.error is not None:
            raise self.error
        self.frames.append((kind, sequence, bytes(body)))

    def close(self) -> None:
        self.closed += 1


class Primary:
    """Whoever connects: its frames in, and what comes back."""

    def __init__(self, loop: SteppedLoop, sock: socket.socket, epoch: int) -> None:
        self.frames: list[Frame] = []
        self.lost: list[str] = []
        self.sequence = 0
        self.socket = sock
        self.link = Link(loop, sock, epoch, self._on_frame, self.lost.append, compression=True)

    def _on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        self.frames.append((kind, sequence, bytes(body)))

    def greet(self, hello: Hello) -> None:
        self.link.send(FrameKind.HELLO, 0, messages.encode_handshake(hello))

    def ship(self, *operations: Operation) -> int:
        for operation in operations:
            self.sequence += 1
            self.link.send_operation(self.sequence, operation)
        return self.sequence

    def send(self, kind: int, *parts: bytes) -> int:
        self.sequence += 1
        self.link.send(kind, self.sequence, *parts)
        return self.sequence

    def of(self, kind: FrameKind) -> list[tuple[int, bytes]]:
        return [(sequence, body) for found, sequence, body in self.frames if found == kind]

    @property
    def acknowledged(self) -> list[int]:
        return [sequence for sequence, _ in self.of(FrameKind.ACK)]

    @property
    def welcome(self) -> Welcome:
        ((_, body),) = self.of(FrameKind.WELCOME)
        return messages.decode_welcome(memoryview(body))

    @property
    def refused(self) -> Refused:
        ((_, body),) = self.of(FrameKind.REFUSED)
        return messages.decode_refused(memoryview(body))

    @property
    def failed(self) -> str:
        ((_, body),) = self.of(FrameKind.FAILED)
        return messages.decode_failed(memoryview(body))


class Stage:
    """A secondary of two directories, listening."""

    def __init__(self, loop: SteppedLoop, path: Path, acknowledge_disk: bool = False) -> None:
        self.loop = loop
        self.events: list[control.Event] = []
        self.refusals: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.copiers: list[RecordingCopier] = []
        self.primaries: list[Primary] = []
        self.roots = (path / "one", path / "two")
        for root in self.roots:
            root.mkdir()
        self.volumes = [Volume.open(str(root), index) for index, root in enumerate(self.roots)]
        self.background = Background(loop)
        spec = _spec(self.roots, acknowledge_disk)
        vouching = Vouching(self.volumes, spec)
        self.asides = Asides(
            loop, self.volumes, spec, self.background, vouching, self.events.append,
            lambda reason: self.secondary.end_diverged(reason),
        )  # fmt: skip
        self.refused_streams = Refusals(loop.time)
        self.secondary = Secondary(
            loop,
            self.volumes,
            spec,
            "instance-b",
            self.background,
            self.events.append,
            self._make_copier,
            lambda address, reason: self.refusals.append((address, reason)),
            Tracker(LiveNames(self.volumes)),
            DirtyList(self.volumes[0].private_fd),
            self.asides,
            vouching,
            Leftovers(self.volumes, self.background, lambda event, **_: self.warnings.append(event)),
            refusals=self.refused_streams,
        )
        self.port = self.secondary.listen()

    def _make_copier(self, link: Link) -> RecordingCopier:
        self.copiers.append(RecordingCopier(link))
        return self.copiers[-1]

    def close(self) -> None:
        self.secondary.close()
        for primary in self.primaries:
            primary.link.close()
        self.background.close()
        for volume in self.volumes:
            volume.close()

    def follow(self, epoch: int = EPOCH, primary: str = "a", bases: tuple[str, ...] = ()) -> None:
        self.secondary.follow(control.Follow(epoch=epoch, revision=1, primary=primary, store_id="store"), bases)

    def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def connect(self, hello: Hello | None = HELLO) -> Primary:
        """One that has said ``hello``, or nothing yet."""
        primary = Primary(self.loop, self.dial(), hello.epoch if hello is not None else EPOCH)
        self.primaries.append(primary)
        if hello is not None:
            primary.greet(hello)
        return primary

    def stream(self) -> Primary:
        """A stream that stands."""
        self.follow()
        primary = self.connect()
        self.until(lambda: primary.frames)
        assert primary.welcome.epoch == EPOCH
        return primary

    def until(self, condition: Callable[[], object]) -> None:
        self.loop.until(condition)

    def until_gone(self, primary: Primary) -> None:
        self.until(lambda: primary.lost)

    def names(self, volume: int = 0) -> set[str]:
        return set(os.listdir(self.roots[volume])) - {".mirrorfarm"}

    def lost(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, control.StreamLost)]


def _spec(roots: tuple[Path, ...], acknowledge_disk: bool) -> ReplicatorSpec:
    return ReplicatorSpec(
        cluster_id="cluster",
        module="db",
        module_id="module",
        node="b",
        boot_id="boot-b",
        directories=tuple(str(root) for root in roots),
        control_socket="",
        listen_host="127.0.0.1",
        listen_port=0,
        peer_timeout_ms=3000,
        acknowledge_disk=acknowledge_disk,
        compression=True,
        must_exist=(),
        cgroup="",
        log_file="",
        set_aside_bytes=200_000,
    )
