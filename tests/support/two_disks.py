"""A pair of real replicators, each on a loop-mounted disk of its own: ext4 beside xfs, as two servers may have them."""

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from manager.model import control
from tests.support import compare_trees
from tests.support.grounds import loop_mounted
from tests.support.replicators import Node, Options, Pair

SIZE_MIB = {"ext4": 1024, "xfs": 1024}
"""Sparse: only what is written takes room."""
SETTLE_SECONDS = 10.0
KINDS = ("ext4", "xfs")


@dataclass
class TwoDisks:
    """``pair`` and where its disks are mounted; everyone may search the way to the replicated directories."""

    pair: Pair
    disks: dict[str, Path]
    """By node; what is beside the replicated directories is plain."""

    def assert_equal(self) -> None:
        """Both mounted copies are the same to the second comparer, times included, soon after the last write."""
        end = time.monotonic() + SETTLE_SECONDS
        for one, other in zip(self.pair.a.directories, self.pair.b.directories, strict=True):
            while found := compare_trees.differences(one, other):
                assert time.monotonic() < end, "\n".join(found[:20])
                time.sleep(0.2)

    def rest(self) -> None:
        """Ends both replicators, if they live, and compares what is on the disks."""
        for node in (self.pair.a, self.pair.b):
            if node.process is not None and node.process.poll() is None:
                assert node.quit() == 0, node.said()
        for one, other in zip(self.pair.a.directories, self.pair.b.directories, strict=True):
            found = compare_trees.differences(one, other)
            assert not found, "\n".join(found[:20])


@contextlib.contextmanager
def two_disks(
    base: Path, kinds: Sequence[str] = KINDS, options: Options | None = None, names: Sequence[str] = ("a", "b")
) -> Iterator[TwoDisks]:
    """The first of ``names`` serves from a disk of the first of ``kinds``, the second is in sync and listed."""
    options = options or Options()
    with ExitStack() as stack:
        disks = {}
        made = []
        for name, kind in zip(names, kinds, strict=True):
            disks[name] = disk = Path(stack.enter_context(loop_mounted(kind, SIZE_MIB[kind])))
            node = Node(name, base, options, [disk / f"data{i}" for i in range(options.directories)])
            stack.callback(node.put_away)
            node.launch()
            made.append(node)
        for node in made:
            node.connect()
        two = Pair(made[0], made[1], 1)
        two.a.serve(1)
        two.join()
        yield TwoDisks(two, disks)


def leave_and_return(two: Pair) -> None:
    """The secondary is killed and dropped from the record, then it is back and brought in sync."""
    leave(two)
    two.b.start()
    two.join(seconds=60.0)


def leave(two: Pair) -> None:
    """The secondary is killed and dropped from the record."""
    two.a.collect(0.0)
    two.a.events = [event for event in two.a.events if not isinstance(event, control.PeerLost)]
    two.b.kill()
    two.a.wait(control.PeerLost)
    two.settle(())
    two.a.tell(control.Forget(two.b.name))
    two.b.clear()


class Comings:
    """Has the secondary killed and brought back in sync at random moments, in a thread, until it is stopped."""

    def __init__(self, two: Pair, seed: int, pause_s: float = 0.4) -> None:
        self.together = threading.Lock()
        """Held while the secondary is away."""
        self.count = 0
        """How often it came back."""
        self._two = two
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Comings":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(120.0)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._random.random() * 2 * self._pause_s):
                with self.together:
                    leave_and_return(self._two)
                    self.count += 1
        except BaseException as error:
            self._error = error


def is_soak() -> bool:
    """Whether this run is at full counts."""
    return os.environ.get("MIRRORFARM_SOAK") == "1"
