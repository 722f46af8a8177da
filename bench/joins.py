"""Joins of real replicators, timed: a node follows a primary until that says that it is complete.

The pair has no agents: this says what they would, as the tests do (``tests/support/replicators.py``). What is in the
trees, and what a join should have cost, is not known here.
"""

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manager.model import control
from manager.model.config import ReplicationConfig
from tests.support.replicators import Node, Options, Pair, running

JOIN_S = 1800.0
_LEASE_S = 86_400.0
_CONNECT_S = 30.0
_epochs = itertools.count(1)
"""A replicator that starts as primary is always a new epoch."""


@dataclass(frozen=True, slots=True)
class Joined:
    """One join that came to its end."""

    copied_s: float
    """Until nothing was left to copy, since the stream stood."""
    on_disk_s: float
    """Until all was on the disks, since the peer was known."""
    at_the_end: control.Progress


def node(name: str, base: Path) -> Node:
    """A node with the settings that it ships with; its directory is made, nothing is started."""
    return Node(name, base, Options(peer_timeout_ms=ReplicationConfig().peer_timeout_ms))


@contextlib.contextmanager
def serving(a: Node, b: Node) -> Iterator[Pair]:
    """``a`` serves alone, ``b`` is not started. What runs in the end ends by itself when all went well."""
    with running((a,)), contextlib.ExitStack() as stack:
        pair = Pair(a, b, next(_epochs))
        stack.callback(lambda: pair.b.put_away())
        a.serve(pair.epoch)
        a.lease(_LEASE_S)
        yield pair
        a.quit()
        if pair.b.process is not None and pair.b.process.poll() is None:
            pair.b.quit()


def join(pair: Pair) -> Joined:
    """Starts ``b``, brings it in sync with ``a``, and has it listed."""
    began_s = begin(pair)
    told = pair.a.wait(object, _is_the_end, JOIN_S)
    on_disk_s = time.perf_counter() - began_s
    if isinstance(told, control.PeerLost):
        raise SystemExit(f"the join broke off: {told.reason}")
    pair.settle((pair.b.name,))
    last = progress(pair)[-1]
    if last.stage is not control.Stage.SYNCING:
        raise SystemExit(f"the join did not say that everything was copied: {last}")
    return Joined(last.elapsed_ms / 1000, on_disk_s, last)


def begin(pair: Pair) -> float:
    """Starts ``b``, which begins to join ``a``; since when, by time.perf_counter. What was told before is forgotten."""
    hello = pair.b.start()
    pair.a.collect(0.0)
    pair.a.events.clear()
    began_s = time.perf_counter()
    pair.b.follow(pair.a.name, pair.epoch)
    pair.a.tell(control.Peer(pair.b.name, "127.0.0.1", hello.listen_port))
    pair.a.wait(control.PeerConnected, lambda event: event.instance == hello.instance, _CONNECT_S)
    return began_s


def has_ended(pair: Pair) -> bool:
    """Whether the join that was begun is complete, or broke off."""
    return any(_is_the_end(event) for event in pair.a.collect(0.0))


def progress(pair: Pair) -> list[control.Progress]:
    """How far the join that was begun had come, each second."""
    pair.a.collect(0.0)
    return [event for event in pair.a.events if isinstance(event, control.Progress) and event.work == "join"]


def _is_the_end(event: object) -> bool:
    return isinstance(event, control.PeerComplete | control.PeerLost)
