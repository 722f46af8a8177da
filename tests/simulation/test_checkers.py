"""What the checkers take for right, where the runs seldom come."""

from dataclasses import replace

import pytest

from agent.core.events import Tag
from manager.model.codec import encode
from manager.model.records import HistoryRecord, Holder, InsyncRecord, PrimaryRecord
from manager.store.api import Changes, Event, KeyValue
from tests.simulation.checkers import (
    SECOND_NS,
    Flapping,
    Progress,
    Promises,
    StoreChecker,
    Violation,
    Write,
)
from tests.simulation.given_up import GivenUp
from tests.simulation.restored import Restored
from tests.simulation.standing import (
    Forced,
    require_all_new,
    require_back,
    require_decided,
    require_failover,
    require_said,
    require_told,
)
from tests.simulation.to_and_fro import ToAndFro
from tests.simulation.volume import Copy
from tests.simulation.words import Words


def _promises() -> Promises:
    """Epoch 3 serves, and has completed a write."""
    promises = Promises()
    promises.serve("a", 3, {}, now_ns=100, kept_memory=True)
    promises.complete(Write(7, 1, "a", 3, 110), now_ns=120)
    return promises


@pytest.mark.parametrize("kept_memory", [True, False])
def test_an_epoch_that_is_served_once_it_is_over_lacks_what_was_completed_since(kept_memory: bool) -> None:
    promises = _promises()
    promises.serve("b", 2, {}, now_ns=200, kept_memory=kept_memory)
    assert promises.completed == {1: 7}


def test_but_completes_nothing() -> None:
    promises = _promises()
    promises.serve("b", 2, {}, now_ns=200, kept_memory=True)
    with pytest.raises(Violation, match="P3"):
        promises.complete(Write(8, 1, "b", 2, 210), now_ns=220)


def test_the_next_epoch_lacks_nothing() -> None:
    with pytest.raises(Violation, match="P1/P4"):
        _promises().serve("b", 4, {}, now_ns=200, kept_memory=True)


def test_what_was_given_up_is_kept_by_its_last_write() -> None:
    promises = Promises(given_up={(1, 7), (1, 9), (2, 8)})
    promises.require_kept("a", {1: 9, 2: 8, 3: 5}, [{1: 9}, {2: 8}])
    # A power loss brought back what was there before.
    promises.require_kept("a", {1: 7}, [{1: 9}])


@pytest.mark.parametrize("asides", [[], [{1: 7}], [{2: 9}], [{1: 11}]])
def test_and_by_nothing_else(asides: list[dict[int, int]]) -> None:
    promises = Promises(given_up={(1, 7), (1, 9), (2, 9)})
    with pytest.raises(Violation, match="S12: a joins with write 9 in block 1"):
        promises.require_kept("a", {1: 9}, asides)


@pytest.mark.parametrize("others", [[], ["swap"]])
def test_an_application_goes_once_to_each_node_for_its_own_sake(others: list[str]) -> None:
    to_and_fro = ToAndFro(nodes=2)
    for at_s, because in enumerate(["application_failed"] * 2 + others):
        to_and_fro.promoted(because, at_s * SECOND_NS)
    if others:
        to_and_fro.promoted("application_failed", 70 * SECOND_NS)
        return
    with pytest.raises(Violation, match="to and fro"):
        to_and_fro.promoted("application_failed", 70 * SECOND_NS)


def test_for_its_addresses_sake_it_goes_again_after_a_while() -> None:
    to_and_fro = ToAndFro(nodes=2)
    to_and_fro.addresses_fail()
    for at_s in (0, 60, 120, 121):
        to_and_fro.promoted("application_failed", at_s * SECOND_NS)
    with pytest.raises(Violation, match="to and fro"):
        to_and_fro.promoted("application_failed", 122 * SECOND_NS)


def test_what_a_new_primary_has_counts_as_completed_for_its_application_can_read_it() -> None:
    promises = _promises()
    promises.serve("b", 4, {1: 7, 2: 8}, now_ns=200, kept_memory=True)
    assert promises.completed == {1: 7, 2: 8}
    with pytest.raises(Violation, match="P1/P4"):
        promises.serve("a", 5, {1: 7}, now_ns=300, kept_memory=True)


def test_what_it_lost_with_its_memory_does_not() -> None:
    promises = _promises()
    promises.serve("b", 4, {1: 0, 2: 0}, now_ns=200, kept_memory=False)
    assert (promises.completed, promises.legitimate_losses) == ({1: 0}, 1)


def _record(epoch: int, number: int, last: str, *nodes: str) -> InsyncRecord:
    return InsyncRecord(epoch, number, last, tuple(Holder(node, "boot", "process", epoch) for node in nodes))


@pytest.mark.parametrize(
    ("key_of", "listed", "broken"),
    [("", "b", False), ("", "ab", True), ("a", "b", True), ("a", "ab", False)],
)
def test_who_is_elected_is_alone_and_who_is_handed_the_place_is_not(key_of: str, listed: str, broken: bool) -> None:
    checker = StoreChecker("primary", "insync", record=_record(1, 3, "a", "a", "b"))
    checker.primary = PrimaryRecord("a", 1, "a1") if key_of else None
    changed = {"primary": encode(PrimaryRecord("b", 2, "b1")), "insync": encode(_record(2, 4, "b", *listed))}
    changes = Changes(9, tuple(Event(key, KeyValue(value, 9, 9, 0)) for key, value in changed.items()))
    if not broken:
        checker.on_changes(changes)
        return
    with pytest.raises(Violation, match="S1: epoch 2 began with"):
        checker.on_changes(changes)


@pytest.mark.parametrize(("again_s", "broken"), [(5.9, True), (6.1, False)])
def test_after_its_second_loss_a_node_is_listed_twice_as_late(again_s: float, broken: bool) -> None:
    flapping = Flapping(3 * SECOND_NS, 60 * SECOND_NS)
    both, alone = _record(1, 1, "a", "a", "b"), _record(1, 2, "a", "a")
    flapping.record(None, alone, 0)
    for lost_s in (10, 20):
        flapping.record(alone, both, (lost_s - 5) * SECOND_NS)
        flapping.record(both, alone, lost_s * SECOND_NS)
    listed_ns = round((20 + again_s) * SECOND_NS)
    if not broken:
        flapping.record(alone, both, listed_ns)
        return
    with pytest.raises(Violation, match="S10"):
        flapping.record(alone, both, listed_ns)


def test_the_history_says_that_one_has_stood_without_its_memory() -> None:
    require_said("b", "power_loss_of_all")
    with pytest.raises(Violation, match="S8: b serves without its memory"):
        require_said("b", "primary_lost")


def test_the_first_epoch_in_a_restored_etcd_is_one_that_an_operator_has_decided() -> None:
    elected = _record(5, 9, "b", "b")
    require_decided("b", replace(elected, decided=5))
    with pytest.raises(Violation, match="S8: b serves epoch 5 in another etcd"):
        require_decided("b", replace(elected, decided=3))


def test_who_is_waited_for_has_to_be_back() -> None:
    require_back("b", [])
    with pytest.raises(Violation, match="are waited for"):
        require_back("b", ["a"])


@pytest.mark.parametrize(("away", "known"), [(["b"], []), ([], ["b"])])
def test_the_configuration_names_a_node_only_where_all_are_there_and_new(away: list[str], known: list[str]) -> None:
    require_all_new("a", [], [])
    with pytest.raises(Violation, match="S9: a began by the configuration"):
        require_all_new("a", away, known)


def test_a_forced_start_is_one_whose_agent_was_told_that_the_last_primary_is_off() -> None:
    forced = Forced({}, silent_ns={("b", "a"): 5})
    with pytest.raises(Violation, match="nobody has told its agent that a is off"):
        forced.judge("b", "a", (), 6)


@pytest.mark.parametrize("because", ["promoted_by_operator", "forced_by_operator"])
def test_without_failover_a_copy_goes_on_by_an_operators_word_alone(because: str) -> None:
    require_failover("b", "a", because, off=True)
    with pytest.raises(Violation, match="with failover off"):
        require_failover("b", "a", "primary_lost", off=True)


@pytest.mark.parametrize(
    ("because", "accept", "decided", "broken"),
    [
        ("primary_lost", "", False, ""),
        ("promoted_by_operator", "", False, ""),
        ("promoted_by_operator", "store_replaced", True, ""),
        ("promoted_by_operator", "rebooted_since_listed", True, "in another etcd, and the operator has accepted"),
        ("forced_by_operator", "store_replaced,not_in_sync", True, ""),
        ("forced_by_operator", "store_replaced", True, "is forced, and the operator has accepted"),
    ],
)
def test_an_operators_word_goes_as_far_as_what_he_has_accepted(
    because: str, accept: str, decided: bool, broken: str
) -> None:
    words = Words()
    words.ask("r1", accept)
    if not broken:
        words.judge("b", because, ["r1"], decided=decided)
        return
    with pytest.raises(Violation, match=broken):
        words.judge("b", because, ["r1"], decided=decided)


@pytest.mark.parametrize("taken", [[], ["r2"]])
def test_a_word_that_was_not_taken_or_is_over_is_none(taken: list[str]) -> None:
    words = Words()
    words.ask("r1", "")
    with pytest.raises(Violation, match="S9: b stands by an operator's word, first_start, and none taken is under way"):
        words.judge("b", "first_start", taken, decided=False)


def _restored() -> Restored:
    """Etcd is another one since the 10th second."""
    restored = Restored()
    restored.begins("store2", 10 * SECOND_NS)
    return restored


@pytest.mark.parametrize("tag", [Tag.ELECT, Tag.RESUME, Tag.RECORD, Tag.TAKE_OVER])
def test_who_sees_a_restored_etcd_asks_for_nothing_there_before_an_operator_has_decided(tag: Tag) -> None:
    restored = _restored()
    restored.asks("a", tag, "store1", by_word=False)  # Not seen yet.
    restored.asks("a", Tag.RESIGN, "store2", by_word=False)
    restored.asks("a", Tag.ELECT, "store2", by_word=True)
    with pytest.raises(Violation, match=f"S8: a asks to {tag} in another etcd"):
        restored.asks("a", tag, "store2", by_word=False)
    restored.undecided = False
    restored.asks("a", tag, "store2", by_word=False)


def test_nor_does_it_serve_on() -> None:
    restored = _restored()
    for serve in (["a"], [], ["a"]):
        restored.look(serve)
    with pytest.raises(Violation, match=r"S8: .'a'. serve on"):
        restored.look(["a", "b"])


def test_and_an_operator_decides_once_a_leases_time_is_over() -> None:
    _restored().decides("a", 16 * SECOND_NS, 6 * SECOND_NS)
    with pytest.raises(Violation, match=r"for a it is decided 5.0 s after"):
        _restored().decides("a", 15 * SECOND_NS, 6 * SECOND_NS)


def test_in_another_etcd_an_operator_may_begin_an_epoch_of_a_number_that_was() -> None:
    promises = _promises()
    assert promises.force(3, {1: 6}, {}) == {(1, 7)}
    assert (promises.completed, promises.given_up) == ({1: 6}, {(1, 7)})
    promises.serve("b", 3, {1: 6}, now_ns=200, kept_memory=True)
    # The one that was away goes on in its own epoch of that number: nothing of it counts.
    promises.complete(Write(8, 1, "a", 3, 210), now_ns=220)
    promises.fsync({1: 8}, 3, "a")
    promises.complete(Write(9, 2, "b", 3, 230), now_ns=240)
    assert (promises.completed, promises.fsynced, (1, 8) in promises.given_up) == ({1: 6, 2: 9}, {}, True)
    with pytest.raises(Violation, match="P1/P4"):
        promises.serve("a", 4, {1: 8}, now_ns=300, kept_memory=True)


def test_with_a_new_disk_a_node_may_begin_one_that_it_has_served_before() -> None:
    promises = _promises()
    promises.force(3, {}, {})
    promises.serve("a", 3, {}, now_ns=200, kept_memory=True)
    promises.complete(Write(8, 1, "a", 3, 210), now_ns=220)
    assert (promises.completed, promises.given_up) == ({1: 8}, {(1, 7)})


def _copy(*asides: dict[int, int], **blocks: int) -> Copy:
    copy = Copy()
    copy.cache |= {int(name.removeprefix("b")): number for name, number in blocks.items()}
    copy.asides = list(asides)
    return copy


@pytest.mark.parametrize("kept", [_copy(b1=7), _copy(b1=9), _copy({1: 7}, b1=3)])
def test_what_is_given_up_is_in_another_copy_or_set_aside_there(kept: Copy) -> None:
    copies = {"a": kept, "b": _copy(b1=6)}
    given_up = GivenUp()
    given_up.judge("b", [(1, 7)], copies)
    kept.cache[1], kept.asides = 0, []
    with pytest.raises(Violation, match="b goes on without write 7 in block 1, which nobody has kept"):
        given_up.judge("b", [(1, 7)], copies)


def test_or_went_with_a_memory_before() -> None:
    given_up = GivenUp()
    given_up.lost({1: 7, 2: 8}, [_copy(b1=6, b2=8)])
    given_up.judge("b", [(1, 7)], {"a": _copy(), "b": _copy(b1=6)})
    with pytest.raises(Violation, match="write 8 in block 2"):
        given_up.judge("b", [(2, 8)], {"a": _copy(), "b": _copy(b1=6)})


@pytest.mark.parametrize(
    ("because", "told", "broken"),
    [
        ("promoted_by_operator", ("b", "promoted_by_operator", "of an older etcd"), ""),
        ("first_start", ("b", "first_start", ""), ""),
        ("promoted_by_operator", ("b", "promoted_by_operator", ""), "does not say what may be missing"),
        ("promoted_by_operator", ("a", "promoted_by_operator", "of an older etcd"), "the history says"),
        ("promoted_by_operator", None, "the history says None"),
    ],
)
def test_the_history_says_who_was_named_and_what_may_be_missing(
    because: str, told: tuple[str, str, str] | None, broken: str
) -> None:
    record = replace(_record(4, 9, "b", "b"), because=because)
    history = None if told is None else HistoryRecord(4, told[0], "a", told[1], "", told[2])
    if not broken:
        require_told(record, history)
        return
    with pytest.raises(Violation, match=broken):
        require_told(record, history)


def _nobody_serves(*, pauses: bool, for_s: int) -> None:
    progress = Progress(40 * SECOND_NS, 30 * SECOND_NS)
    for at_s in (0, 10, for_s):
        progress.look(at_s * SECOND_NS, possible=True, serves=False, pauses=pauses and at_s == 10, who="a")


def test_a_module_serves_in_time() -> None:
    _nobody_serves(pauses=False, for_s=40)
    with pytest.raises(Violation, match="for 41 s nobody serves, although a could"):
        _nobody_serves(pauses=False, for_s=41)


def test_and_later_by_a_pause_where_a_hand_over_was_not_taken() -> None:
    _nobody_serves(pauses=True, for_s=70)
    with pytest.raises(Violation, match="for 71 s nobody serves"):
        _nobody_serves(pauses=True, for_s=71)


def test_a_pause_of_before_it_served_does_not_count() -> None:
    progress = Progress(40 * SECOND_NS, 30 * SECOND_NS)
    progress.look(0, possible=True, serves=False, pauses=True, who="a")
    progress.look(SECOND_NS, possible=True, serves=True, pauses=False, who="a")
    progress.look(2 * SECOND_NS, possible=True, serves=False, pauses=False, who="a")
    with pytest.raises(Violation, match="for 41 s nobody serves"):
        progress.look(43 * SECOND_NS, possible=True, serves=False, pauses=False, who="a")
