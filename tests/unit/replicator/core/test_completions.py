"""The release of completions: by example, and against a second version that only says the rules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manager.model.errors import InvariantViolated
from replicator.core.completions import Completions, Gate
from tests.unit.replicator.core.naive import Naive, NaiveStream

NODES = ("b", "c")


def alone() -> Completions[int]:
    """A primary whose record lists itself."""
    completions = Completions[int]()
    completions.settled(1, ())
    return completions


def with_peer() -> Completions[int]:
    """Its peer is past its join point and listed."""
    completions = alone()
    completions.attach("b")
    completions.join_point("b")
    completions.settled(2, ("b",))
    return completions


def test_nothing_is_released_before_a_record_is_known() -> None:
    completions = Completions[int]()
    completions.issue(1)
    assert completions.release() == []
    assert completions.held
    completions.settled(1, ())
    assert completions.release() == [1]


def test_alone_everything_is_released_at_once() -> None:
    completions = alone()
    assert completions.issue(7) == 1
    assert completions.limit > completions.released
    assert completions.release() == [7]
    assert completions.idle


def test_a_complete_peer_has_to_acknowledge() -> None:
    completions = with_peer()
    for item in (1, 2, 3):
        completions.issue(item)
    assert completions.release() == []
    completions.acknowledged("b", 2)
    assert completions.release() == [1, 2]
    assert completions.release() == []
    completions.acknowledged("b", 3)
    assert completions.release() == [3]


def test_a_lost_holder_holds_what_it_has_not_acknowledged_until_the_record_leaves_it_out() -> None:
    completions = with_peer()
    completions.issue(1)
    completions.lost("b")
    assert completions.held
    assert completions.missing == {"b"}
    assert completions.release() == []
    completions.settled(2, ("b",))
    assert completions.release() == []
    completions.settled(3, ())
    assert completions.release() == [1]
    assert not completions.held


def test_a_record_that_is_older_than_one_that_is_known_changes_nothing() -> None:
    completions = with_peer()
    completions.issue(1)
    completions.lost("b")
    completions.settled(1, ())
    assert completions.release() == []


def test_past_its_join_point_a_node_is_waited_for_though_the_record_does_not_list_it_yet() -> None:
    completions = alone()
    completions.attach("b")
    completions.join_point("b")
    completions.issue(1)
    assert completions.release() == []
    completions.settled(2, ())
    assert completions.release() == []
    completions.lost("b")
    assert completions.held
    completions.settled(3, ())
    assert completions.release() == [1]


def test_a_joining_node_is_waited_for_only_until_its_socket_has_taken_it() -> None:
    completions = alone()
    completions.attach("b")
    completions.issue(1)
    assert completions.release() == []
    completions.sent("b", 1)
    assert completions.release() == [1]
    completions.issue(2)
    completions.lost("b")
    assert completions.release() == [2]


def test_a_stream_cannot_begin_while_something_is_under_way_that_it_was_not_sent() -> None:
    completions = with_peer()
    completions.issue(1)
    with pytest.raises(InvariantViolated):
        completions.attach("c")


@pytest.mark.parametrize("place", [0, 5])
def test_an_acknowledgement_that_cannot_be_is_a_broken_invariant(place: int) -> None:
    completions = with_peer()
    for item in (1, 2):
        completions.issue(item)
    completions.acknowledged("b", 1)
    with pytest.raises(InvariantViolated):
        completions.acknowledged("b", place)


def test_fenced_nothing_is_released_ever_again() -> None:
    completions = with_peer()
    completions.issue(1)
    completions.acknowledged("b", 1)
    completions.fence()
    assert completions.release() == []
    completions.settled(9, ())
    assert completions.release() == []


def test_what_waited_at_the_gate_goes_first_and_in_order() -> None:
    completions = alone()
    completions.shut(Gate.FROZEN)
    completions.shut(Gate.QUIET)
    assert completions.gated
    for item in (1, 2):
        completions.wait(item)
    completions.open(Gate.QUIET)
    assert completions.next_waiting() is None
    completions.open(Gate.FROZEN)
    assert completions.next_waiting() == 1
    assert completions.gated, "what comes now would overtake the second"
    completions.wait(3)
    assert [completions.next_waiting() for _ in range(3)] == [2, 3, None]
    assert not completions.gated


def test_a_gate_without_anything_waiting_opens() -> None:
    completions = alone()
    completions.shut(Gate.REPAIR)
    assert completions.is_shut(Gate.REPAIR)
    completions.open(Gate.REPAIR)
    assert not completions.gated


class Comparison(RuleBasedStateMachine):
    """Any events in any order: both versions release the same, and the rules hold."""

    @initialize()
    def begin(self) -> None:
        self.real = Completions[int]()
        self.naive = Naive()
        self.got: list[int] = []
        self.number = 0

    def _standing(self, complete: bool | None = None) -> list[NaiveStream]:
        return [s for s in self.naive.streams if s.stands and complete in (None, s.complete)]

    @rule()
    def issue(self) -> None:
        place = self.real.issue(len(self.naive.issued) + 1)
        self.naive.issued.append(place)

    @rule(node=st.sampled_from(NODES), back=st.integers(0, 3))
    def acknowledge(self, node: str, back: int) -> None:
        stream = self.naive.stream(node)
        if stream is None:
            return
        last = max(stream.acknowledged, default=stream.begins_after)
        place = max(last, len(self.naive.issued) - back)
        stream.acknowledged |= set(range(last + 1, place + 1))
        stream.sent |= stream.acknowledged
        self.real.sent(node, place)
        self.real.acknowledged(node, place)

    @rule(node=st.sampled_from(NODES), back=st.integers(0, 3))
    def send(self, node: str, back: int) -> None:
        stream = self.naive.stream(node)
        if stream is None:
            return
        place = len(self.naive.issued) - back
        stream.sent |= set(range(stream.begins_after + 1, place + 1))
        self.real.sent(node, max(place, stream.begins_after))

    @rule(node=st.sampled_from(NODES))
    def attach(self, node: str) -> None:
        self.check_released()
        if self.naive.stream(node) is None and self.real.idle:
            self.real.attach(node)
            self.naive.streams.append(NaiveStream(node, begins_after=len(self.naive.issued)))

    @rule(node=st.sampled_from(NODES))
    def join(self, node: str) -> None:
        stream = self.naive.stream(node)
        if stream is not None and not stream.complete:
            self.check_released()
            stream.complete = True
            self.naive.since.add(node)
            self.real.join_point(node)

    @rule(node=st.sampled_from(NODES))
    def lose(self, node: str) -> None:
        stream = self.naive.stream(node)
        if stream is not None:
            self.check_released()
            stream.stands = False
            self.real.lost(node)

    @rule(holders=st.sets(st.sampled_from(NODES)), newer=st.integers(-1, 1))
    def settle(self, holders: set[str], newer: int) -> None:
        self.check_released()
        number = self.number + newer
        self.real.settled(number, holders)
        if self.naive.settled is None or number >= self.naive.settled[0]:
            if number < 0:
                return
            self.number = number
            self.naive.settled = (number, frozenset(holders))
            self.naive.since = {s.node for s in self._standing(complete=True)}

    @precondition(lambda self: len(self.naive.issued) > 8)
    @rule()
    def fence(self) -> None:
        self.check_released()
        self.real.fence()
        self.naive.fenced = True

    @invariant()
    def check_released(self) -> None:
        got = self.real.release()
        assert got == self.naive.release()
        self.got += got
        assert self.got == list(range(1, len(self.got) + 1)), "in order, each once"
        assert self.real.idle == (len(self.got) == len(self.naive.issued))
        assert self.real.required == self.naive.required()


TestComparison = Comparison.TestCase
TestComparison.settings = settings(stateful_step_count=60)


@given(st.lists(st.sampled_from(["shut", "open", "item"]), max_size=40))
def test_the_gate_keeps_the_order_whatever_happens_to_it(steps: list[str]) -> None:
    completions = alone()
    issued: list[int] = []
    given_out = 0

    def go_on() -> None:
        while (item := completions.next_waiting()) is not None:
            issued.append(item)

    for step in steps:
        if step == "shut":
            completions.shut(Gate.QUIET)
        elif step == "open":
            completions.open(Gate.QUIET)
            go_on()
        else:
            given_out += 1
            if completions.gated:
                completions.wait(given_out)
            else:
                issued.append(given_out)
    completions.open(Gate.QUIET)
    go_on()
    assert issued == list(range(1, given_out + 1))


def test_a_record_takes_out_whom_the_last_one_listed() -> None:
    completions = Completions[str]()
    assert not completions.takes_out(1, ("a",))
    completions.settled(2, ("b", "c"))
    assert completions.takes_out(3, ("a", "c"))
    assert not completions.takes_out(3, ("a", "b", "c", "d"))
    assert not completions.takes_out(1, ()), "an older one changes nothing"
