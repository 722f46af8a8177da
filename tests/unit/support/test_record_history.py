"""The checker of the keys' history finds stale promotions, epochs with two primaries, and records that go back."""

from typing import Any

from tests.support.record_history import Event, epochs, forgetful, latest, violations

A, B = ("a", "boot-a"), ("b", "boot-b")
RECORD, PRIMARY = "modules/db/insync", "modules/db/primary"


def record(epoch: int, number: int, primary: str, *holders: tuple[str, str]) -> dict[str, Any]:
    listed = [{"node": node, "boot_id": boot_id} for node, boot_id in holders]
    return {"epoch": epoch, "number": number, "last_primary": primary, "holders": listed}


def elected(revision: int, epoch: int, number: int, primary: str, *holders: tuple[str, str]) -> list[Event]:
    key = {"node": primary, "epoch": epoch, "instance": f"{primary}{epoch}"}
    return [Event(revision, PRIMARY, key), Event(revision, RECORD, record(epoch, number, primary, *holders))]


def registered(revision: int, node: str, boot_id: str) -> Event:
    return Event(revision, f"nodes/{node}", {"boot_id": boot_id})


BEGIN = [registered(1, "a", "boot-a"), registered(2, "b", "boot-b"), *elected(3, 1, 1, "a", A)]
PAIR = [*BEGIN, Event(4, RECORD, record(1, 2, "a", A, B))]


def found(*more: Event) -> list[str]:
    return violations([*PAIR, *more], "db")


def test_a_take_over_by_a_listed_node_is_right() -> None:
    assert found(Event(5, PRIMARY, None), *elected(6, 2, 3, "b", B)) == []


def test_a_hand_over_keeps_both() -> None:
    assert found(*elected(5, 2, 3, "b", A, B)) == []


def test_a_node_that_was_not_listed_may_not_be_promoted() -> None:
    alone = Event(5, RECORD, record(1, 3, "a", A))
    words = found(alone, Event(6, PRIMARY, None), *elected(7, 2, 4, "b", B))
    assert words == ["revision 7: b was promoted, and was not listed: ['a'] were"]


def test_a_node_that_lost_its_power_waits_for_the_one_that_did_not() -> None:
    gone = [Event(5, PRIMARY, None), registered(6, "a", "boot-a2")]
    promoted = elected(8, 2, 3, "a", ("a", "boot-a2"))
    assert found(*gone, *promoted) == ["revision 8: a was promoted after it had lost its power, while b had kept all"]
    assert found(*gone, registered(7, "b", "boot-b2"), *promoted) == []
    assert found(*gone, Event(7, "nodes/b", None), *promoted) == []


def test_losses_of_memory_without_a_reboot_are_told_by_the_member() -> None:
    gone = [Event(5, PRIMARY, None), registered(6, "a", "boot-a2")]
    forgot = Event(7, "modules/db/members/b", {"boot_id": "boot-b+1"})
    promoted = elected(8, 2, 3, "a", ("a", "boot-a2"))
    assert found(*gone, forgot, *promoted) == []
    assert forgetful([*PAIR, *gone, *promoted], "db")
    assert not forgetful([*PAIR, *elected(6, 2, 3, "b", B)], "db")


def test_an_epoch_has_one_primary_and_one_process() -> None:
    again = {"node": "a", "epoch": 1, "instance": "another"}
    words = found(Event(5, PRIMARY, None), Event(6, PRIMARY, again))
    assert words == ["revision 6: epoch 1 had two primaries: ('a', 'a1') and ('a', 'another')"]
    resumed = {"node": "a", "epoch": 1, "instance": "a1"}
    assert found(Event(5, PRIMARY, None), Event(6, PRIMARY, resumed)) == []


def test_a_key_does_not_go_to_another_node_in_the_same_epoch() -> None:
    stolen = Event(5, PRIMARY, {"node": "b", "epoch": 1, "instance": "b1"})
    assert "revision 5: the key went from a to b in epoch 1" in found(stolen)


def test_a_record_counts_on_and_keeps_its_primary() -> None:
    assert found(Event(5, RECORD, record(1, 2, "a", A))) == ["revision 5: the record's number went from 2 to 2"]
    assert "revision 5: the primary a is not in its own record" in found(Event(5, RECORD, record(1, 3, "a", B)))
    assert "revision 5: epoch 1 went from a to b" in found(Event(5, RECORD, record(1, 3, "b", A, B)))


def test_an_epoch_begins_with_the_key_of_its_primary_and_is_the_next_one() -> None:
    words = found(Event(5, RECORD, record(3, 3, "b", B)))
    assert words == [
        "revision 5: the epoch went from 1 to 3",
        "revision 5: epoch 3 began without the key of its primary b",
    ]


def test_epochs_and_last_values_are_told() -> None:
    events = [*PAIR, *elected(6, 2, 3, "b", B)]
    assert epochs(events, "db") == [1, 2]
    assert latest(events, RECORD) == record(2, 3, "b", B)
    assert latest(events, "nothing") is None
