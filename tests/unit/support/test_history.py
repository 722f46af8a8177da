"""The checker of histories finds what is lost, and takes what a crash explains."""

from dataclasses import replace

import pytest

from tests.support.history import SLOT_BYTES, Files, Operation, Run, differences, stamped, violations


def done(number: int, do: str, name: str = "f", *, at: int = 0, length: int = 0, new: str = "") -> Operation:
    return Operation(number, do, name, number * 10, at, length, new, ended_ns=number * 10 + 5)


def in_flight(number: int, do: str, name: str = "f", *, at: int = 0, length: int = 0, new: str = "") -> Operation:
    return replace(done(number, do, name, at=at, length=length, new=new), ended_ns=None)


def then(found: Files, *operations: Operation, worker: str = "mixed") -> list[str]:
    """What is wrong when ``found`` is there after ``operations`` on the other node."""
    before = Run("a", 0, worker, {}, operations)
    return violations([before, Run("b", 1000, worker, found, ())])


CREATE = done(1, "create")
WRITE = done(2, "write", length=100)
FILE = {"f": stamped(2, 100)}


def test_what_completed_is_there() -> None:
    assert then(FILE, CREATE, WRITE) == []
    assert then({"g": stamped(2, 100)}, CREATE, WRITE, done(3, "rename", new="g")) == []
    assert then({}, CREATE, WRITE, done(3, "unlink")) == []
    assert then({"f": stamped(2, 40)}, CREATE, WRITE, done(3, "truncate", length=40)) == []


@pytest.mark.parametrize("found", [{}, {"f": b""}, {"f": stamped(2, 99)}, {**FILE, "g": b""}, {"f": bytes(100)}])
def test_what_was_lost_or_is_too_much_is_found(found: Files) -> None:
    assert len(then(found, CREATE, WRITE)) == 1


def test_the_operation_in_flight_may_be_there_in_its_first_bytes() -> None:
    flying = in_flight(3, "write", at=50, length=100)
    old, new = FILE["f"], FILE["f"][:50] + stamped(3, 100)
    for content in (old, new, new[:80] + old[80:]):
        assert then({"f": content}, CREATE, WRITE, flying) == []
    assert then({"f": old[:60] + new[60:]}, CREATE, WRITE, flying) != []


def test_a_name_in_flight_is_changed_wholly_or_not_at_all() -> None:
    flying = in_flight(3, "rename", new="g")
    assert then(FILE, CREATE, WRITE, flying) == []
    assert then({"g": FILE["f"]}, CREATE, WRITE, flying) == []
    assert then({}, CREATE, WRITE, flying) != []
    assert then({**FILE, "g": FILE["f"]}, CREATE, WRITE, flying) != []


def test_a_write_that_began_on_the_former_primary_after_the_new_one_served_is_found() -> None:
    late = replace(WRITE, number=9, begun_ns=5000, ended_ns=5001)
    runs = [Run("a", 0, "mixed", {}, (CREATE, late)), Run("b", 1000, "slots", {}, (replace(CREATE, begun_ns=4000),))]
    assert len(violations(runs)) == 1
    assert violations([replace(runs[0], operations=(CREATE, replace(late, begun_ns=3999))), runs[1]]) == []


def test_after_both_lost_power_each_slot_has_what_was_synced_or_something_later() -> None:
    first, second = done(2, "write", "slots", length=SLOT_BYTES), done(4, "write", "slots", length=SLOT_BYTES)
    run = Run("a", 0, "slots", {"slots": b""}, (first, done(3, "fsync", "slots"), second))

    def after(content: bytes) -> list[str]:
        return violations([run, Run("b", 1000, "slots", {"slots": content}, ())], [500])

    assert after(stamped(2, SLOT_BYTES)) == after(stamped(4, SLOT_BYTES)) == []
    assert len(after(b"")) == len(after(stamped(7, SLOT_BYTES))) == 1


def test_after_both_lost_power_a_file_that_was_synced_with_its_name_is_there() -> None:
    synced = (CREATE, WRITE, done(3, "fsync"), done(4, "fsync", "."))
    lost = Run("b", 1000, "files", {}, ())
    assert len(violations([Run("a", 0, "files", {}, synced), lost], [500])) == 1
    assert violations([Run("a", 0, "files", {}, synced[:3]), lost], [500]) == []
    assert violations([Run("a", 0, "files", {}, (*synced, in_flight(5, "unlink"))), lost], [500]) == []


def test_what_was_synced_stays_promised_in_later_starts_that_do_not_touch_it() -> None:
    """As where a copy that was brought by a join has it in memory alone, takes over, and then both lose their power."""
    synced = (CREATE, WRITE, done(3, "fsync"), done(4, "fsync", "."))
    slot = (done(2, "write", "slots", length=SLOT_BYTES), done(3, "fsync", "slots"))
    for worker, operations, files in (
        ("files", synced, FILE),
        ("slots", slot, {"slots": stamped(2, SLOT_BYTES)}),
    ):
        found = {"slots": b""} if worker == "slots" else {}
        first = Run("a", 0, worker, found, operations)
        second = Run("b", 1000, worker, files, ())
        assert len(violations([first, second, Run("b", 2000, worker, found, ())], [1500])) == 1
        assert violations([first, second, Run("b", 2000, worker, files, ())], [1500]) == []


def test_what_a_later_start_removed_or_overwrote_is_promised_no_more() -> None:
    synced = (CREATE, WRITE, done(3, "fsync"), done(4, "fsync", "."))
    removed = Run("b", 1000, "files", FILE, (done(101, "unlink"),))
    assert violations([Run("a", 0, "files", {}, synced), removed, Run("b", 2000, "files", {}, ())], [1500]) == []

    slot = (done(2, "write", "slots", length=SLOT_BYTES), done(3, "fsync", "slots"))
    old, new = ({"slots": stamped(number, SLOT_BYTES)} for number in (2, 101))
    over = Run("b", 1000, "slots", old, (done(101, "write", "slots", length=SLOT_BYTES),))
    for found in (old, new):
        first = Run("a", 0, "slots", {"slots": b""}, slot)
        assert violations([first, over, Run("b", 2000, "slots", found, ())], [1500]) == []


def test_differences_say_where() -> None:
    assert differences({"f": b"abc"}, {"f": b"abd"}, {"f": b"abd"}) == [
        "f: 3 bytes, other bytes from 2 to 2, 3 bytes before, 3 bytes after"
    ]
