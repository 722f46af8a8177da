"""Whoever was told "not now" is called when it may go on: once, in time, and not again and again."""

from collections.abc import Callable
from typing import Any

from manager.model.replicator_spec import SpecWindow
from replicator.pacing import BATCH_BYTES, BURST_BYTES, Bandwidth
from replicator.throttle import Throttle

MIB = 1 << 20


class Clocks:
    """A loop, and the time of the day, set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.minute = 0
        self.timers: list[tuple[float, Callable[[], object]]] = []
        self.wakes = 0

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> None:
        self.timers.append((self.now_s + delay, lambda: callback(*arguments)))

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        raise AssertionError("it spins")

    def woken(self) -> None:
        self.wakes += 1

    def until(self, now_s: float) -> None:
        """Time passes, and timers with it."""
        while due := sorted((t for t in self.timers if t[0] <= now_s), key=lambda t: t[0]):
            self.timers.remove(due[0])
            self.now_s = due[0][0]
            due[0][1]()
        self.now_s = now_s


def throttle(clocks: Clocks, bytes_s: int = 0, *windows: SpecWindow) -> Throttle:
    return Throttle(clocks, Bandwidth(bytes_s, windows), lambda: clocks.minute, clocks.woken)


def test_what_has_to_wait_for_the_bandwidth_is_called() -> None:
    clocks = Clocks()
    limited = throttle(clocks, MIB)
    assert limited.take(BURST_BYTES)
    assert not limited.take(BURST_BYTES)
    clocks.until(100.24)
    assert clocks.wakes < 1
    clocks.until(100.251)
    assert clocks.wakes == 1 and limited.take(BURST_BYTES)


def test_several_that_wait_are_called_once_for_the_first() -> None:
    clocks = Clocks()
    limited = throttle(clocks, MIB)
    limited.take(BURST_BYTES)
    for count in (BURST_BYTES, MIB // 8, MIB // 8, BURST_BYTES):
        assert not limited.take(count)
    clocks.until(100.13)
    assert clocks.wakes == 1
    clocks.until(101.0)
    assert clocks.wakes == 1 and not clocks.timers


def test_after_a_piece_it_rests_for_a_millisecond_at_the_least() -> None:
    clocks = Clocks()
    polite = throttle(clocks)
    polite.courtesy.operations += 1
    assert polite.may_begin(BATCH_BYTES)
    polite.begin(BATCH_BYTES)
    clocks.now_s += 0.0001
    polite.end()
    assert not polite.may_begin(1)
    assert [round(at_s - clocks.now_s, 6) for at_s, _ in clocks.timers] == [0.001]
    clocks.until(clocks.now_s + 0.0011)
    assert clocks.wakes == 1 and polite.may_begin(1)


def test_a_moment_waits_for_its_turn() -> None:
    clocks = Clocks()
    polite = throttle(clocks)
    polite.courtesy.operations += 1
    assert polite.may_have_moment()
    polite.moment_ended(clocks.now_s - 0.002)
    assert not polite.may_have_moment()
    clocks.until(100.21)
    assert clocks.wakes == 1 and polite.may_have_moment()


def test_it_is_free_where_nothing_limits_it() -> None:
    clocks = Clocks()
    assert not throttle(clocks, MIB).is_free
    by_night = throttle(clocks, 0, SpecWindow(60, 120, MIB))
    assert by_night.is_free and by_night.piece_bytes(MIB) == MIB
    clocks.minute = 60
    assert not by_night.is_free
    clocks.minute = 120
    by_night.courtesy.operations += 1
    assert not by_night.is_free and by_night.piece_bytes(MIB) == BATCH_BYTES


def test_what_could_not_wait_is_made_up_for() -> None:
    clocks = Clocks()
    limited = throttle(clocks, MIB)
    limited.spend(BURST_BYTES + MIB // 2)
    assert not limited.take(0)
    clocks.until(100.51)
    assert clocks.wakes == 1 and limited.take(0)
