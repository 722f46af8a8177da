"""A primary and a diverged copy in one thread, each step taken by hand: what differs is asked, and kept, for real.

The primary's files are plain here, for whoever changes them between two steps as an application may. What stands in for
others does what they promise and no more: the loop, the threads, the stream, on which frames arrive when told.
"""

import random
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from manager.model.asides import Aside
from manager.model.control import Progress
from replicator.aside_receiver import AsideReceiver, Refusal
from replicator.core.operations import Operation
from replicator.disk.divergence import Divergence, is_diverged, mark_diverged
from replicator.disk.keeping import Occasion
from replicator.disk.volume import Volume
from replicator.pacing import Bandwidth
from replicator.serial import Serial
from replicator.setting_aside import SettingAside
from replicator.wire.frames import BODY_BOUNDS, FrameKind
from tests.unit.replicator.join_world import HandLoop, HandThreads

OCCASION = Occasion("2026-01-01T00:00:00Z", "b", 8)


class HandStream:
    """As replicator.peer.Peer with a Link, but frames arrive when told."""

    node = "a"
    unsent_bytes = 0

    def __init__(self) -> None:
        self.sequence = 0
        self.frames: deque[tuple[int, int, bytes]] = deque()
        self.sent: list[FrameKind] = []
        self.dropped = ""

    def send(self, kind: FrameKind, *parts: bytes | memoryview, acknowledged: Callable[[], None] | None = None) -> int:
        assert acknowledged is None
        self.sequence += 1
        self.sent.append(kind)
        self.frames.append((kind, self.sequence, _body(kind, parts)))
        return self.sequence

    def ship_to(self, operation: Operation, acknowledged: Callable[[], None] | None = None) -> int:
        raise AssertionError("something is changed")

    def introduce(self, volume: int, inode: int) -> None:
        raise AssertionError("something is changed")

    def is_introduced(self, volume: int, inode: int) -> bool:
        raise AssertionError("nothing is bound while something is set aside")

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def drop(self, reason: str) -> None:
        self.dropped = reason


class HandLink:
    """The link to the primary; as HandStream."""

    def __init__(self) -> None:
        self.answers: deque[tuple[int, bytes]] = deque()

    def send(self, kind: int, sequence: int, *parts: bytes | memoryview) -> None:
        assert kind == FrameKind.VERIFY_ANSWER
        self.answers.append((sequence, _body(kind, parts)))


def _body(kind: int, parts: tuple[bytes | memoryview, ...]) -> bytes:
    body = b"".join(parts)
    least, most = BODY_BOUNDS[FrameKind(kind)]
    assert least <= len(body) <= most
    return body


class AsideWorld:
    """One directory at each, of a module of one."""

    def __init__(self, path: Path, limit_bytes: int = 1 << 30) -> None:
        self.here, self.there = path / "here", path / "there"
        """The primary's, and that of the copy that diverged."""
        for directory in (self.here, self.there):
            directory.mkdir()
        self.volumes = [Volume.open(str(directory)) for directory in (self.here, self.there)]
        self.private = self.volumes[1].private_fd
        self.loop = HandLoop()
        self.threads = HandThreads(self.loop)
        self.serial = Serial(self.threads)
        self.limit_bytes = limit_bytes
        self.changes = 0
        self.done = 0
        self.kept: list[Aside] = []
        self.refused: list[Refusal] = []
        self.progress: list[Progress] = []
        mark_diverged(self.private, Divergence(7, 3))
        self.begin()

    def begin(self) -> None:
        """A stream."""
        self.stream, self.link = HandStream(), HandLink()
        self.receiver = AsideReceiver(
            self.volumes[1:], self.link, self.serial, self.limit_bytes, OCCASION, self.kept.append,
            self.refused.append,
        )  # fmt: skip
        self.asking = SettingAside(
            self.loop, self.stream, self.volumes[:1], self.threads, Bandwidth(0, ()), lambda: 0,
            lambda: self.changes, self.progress.append, self._done,
        )  # fmt: skip

    def _done(self) -> None:
        self.done += 1

    def cut(self) -> None:
        """The stream is gone."""
        self.asking.lost()
        self.receiver.close()

    def close(self) -> None:
        self.cut()
        self.rest()
        for volume in self.volumes:
            volume.close()

    @property
    def diverged(self) -> bool:
        return is_diverged(self.private)

    @property
    def tree(self) -> Path:
        """What is kept."""
        return self.there / ".mirrorfarm/aside/3/tree"

    # Steps

    def steps(self) -> list[Callable[[], None]]:
        """Those that could be next."""
        found: list[Callable[[], None]] = []
        if self.loop.soon:
            found.append(self.loop.round)
        if self.threads.jobs:
            found += [self.threads.work_first, self.threads.work_last]
        if self.stream.frames:
            found.append(self.arrive)
        if self.link.answers:
            found.append(self.answer)
        return found

    def arrive(self) -> None:
        kind, sequence, body = self.stream.frames.popleft()
        self.receiver.on_frame(kind, sequence, memoryview(body))

    def answer(self) -> None:
        sequence, body = self.link.answers.popleft()
        self.asking.answered(sequence, memoryview(body))

    def rest(self) -> None:
        """What is under way comes to its end."""
        while self.loop.soon or self.threads.jobs:
            (self.loop.round if self.loop.soon else self.threads.work_first)()

    def run(self, chance: random.Random, meanwhile: Callable[[], object] = lambda: None) -> None:
        """From the beginning until it is done or refused; ``meanwhile`` is called between steps."""
        self.asking.start()
        while not self.done and not self.refused and not self.stream.dropped:
            steps = self.steps()
            if steps:
                chance.choice(steps)()
                meanwhile()
            else:
                self.loop.wait()
