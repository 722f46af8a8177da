"""Promises between real replicators, under load, and by a secondary that stands still."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from tests.support.replicators import Pair, pair
from tests.support.writers import Writer

EPOCH = 1


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path, epoch=EPOCH) as made:
        yield made


def ask(two: Pair) -> int:
    """Asks now; when, by the primary's clock."""
    asked_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    two.a.tell(control.AskPromises(asked_ns))
    return asked_ns


def test_a_promise_comes_back_with_who_made_it_while_writes_go_on(two: Pair) -> None:
    instance = two.b.connect().instance
    took_ms = []
    with Writer(two.a.data / "file") as writer:
        for _ in range(20):
            writer.wait(5)
            asked_ns = ask(two)
            assert two.b.wait(control.PromiseAsked) == control.PromiseAsked("a", EPOCH, asked_ns)
            two.b.tell(control.Promise(EPOCH, asked_ns, 8000))
            assert two.a.wait(control.Promised) == control.Promised("b", instance, EPOCH, asked_ns, 8000)
            took_ms.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME) - asked_ns) / 1e6)
    print(f"asked and promised within {sorted(took_ms)[len(took_ms) // 2]:.1f} ms, {max(took_ms):.1f} ms at the most")
    assert "Promise" not in two.a.said() + two.b.said(), "nothing is logged of what comes all the time"


def test_nobody_is_asked_who_is_not_past_the_join_point_and_no_answer_is_no_promise(two: Pair) -> None:
    two.b.tell(control.CloseStream())
    two.b.wait(control.StreamClosed)
    two.a.wait(control.PeerLost)
    ask(two)
    assert not [event for event in two.b.collect(0.3) if isinstance(event, control.PromiseAsked)]
    two.b.tell(control.Promise(EPOCH, 1, 8000))
    two.b.tell(control.AskPromises(1))
    assert not [event for event in two.a.collect(0.3) if isinstance(event, control.Promised)]


def test_a_secondary_that_stands_still_promises_nothing_meanwhile(two: Pair) -> None:
    os.kill(two.b.pid, signal.SIGSTOP)
    try:
        asked_ns = ask(two)
        assert not [event for event in two.a.collect(0.5) if isinstance(event, control.Promised)]
    finally:
        os.kill(two.b.pid, signal.SIGCONT)
    assert two.b.wait(control.PromiseAsked).asked_ns == asked_ns
    assert two.a.status().peers == {"b": "complete"}
