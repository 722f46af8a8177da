"""The core's own way to copy a record gives what ``dataclasses.replace`` gives, and leaves the first one as it was.

What follows from a record, and is reckoned once, is reckoned anew for each copy.
"""

import dataclasses
from typing import Any

import pytest

from agent.core.copying import derived, replace
from agent.core.state import Link, MirrorState, Peer, Rep
from tests.unit.agent.core.desk import Desk
from tests.unit.agent.core.test_scenarios import PRIM, played


def test_a_copy_is_what_the_standard_library_makes() -> None:
    state = Desk().state
    before = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    changed = replace(state, rep=Rep.IDLE, told_revision=7)
    assert changed == dataclasses.replace(state, rep=Rep.IDLE, told_revision=7)
    assert (changed.rep, changed.told_revision) == (Rep.IDLE, 7)
    assert {f.name: getattr(state, f.name) for f in dataclasses.fields(state)} == before


def test_a_copy_is_frozen_too() -> None:
    copy, name = replace(Desk().state, rep=Rep.IDLE), "rep"
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(copy, name, Rep.ABSENT)


def test_a_field_that_is_not_there_is_refused() -> None:
    wrong: dict[str, Any] = {"colour": "red"}
    with pytest.raises(TypeError, match=r"MirrorState has no \['colour'\]"):
        replace(Desk().state, **wrong)
    with pytest.raises(TypeError):
        replace(Peer(Link.ASKED, "b1", 0), **wrong)


DERIVED = [name for name, value in vars(MirrorState).items() if isinstance(value, derived)]


def test_what_is_derived_is_reckoned_once() -> None:
    asked: list[int] = []

    @dataclasses.dataclass(frozen=True)
    class Sum:
        one: int
        other: int = 0

        @derived
        def total(self) -> int:
            asked.append(self.one)
            return self.one + self.other

    first = Sum(1, 2)
    assert (first.total, first.total, asked) == (3, 3, [1])
    second = replace(first, one=5)
    assert (second.total, second.total, first.total, asked) == (7, 7, 3, [1, 5])
    assert (first, second) == (Sum(1, 2), Sum(5, 2))


def test_a_copy_does_not_know_what_was_derived_of_the_first_one() -> None:
    primary = played(PRIM).state
    assert primary.is_primary and primary.holds_office and primary.wants_run
    cases: list[dict[str, Any]] = [{"lease": None}, {"office": None, "hello": None}, {"known": None, "view": None}]
    for changes in cases:
        copy, anew = replace(primary, **changes), dataclasses.replace(primary, **changes)
        assert {n: getattr(copy, n) for n in DERIVED} == {n: getattr(anew, n) for n in DERIVED}
    assert not replace(primary, known=None, view=None).wants_run


def test_what_is_derived_is_no_field() -> None:
    state = Desk().state
    for name in DERIVED:
        getattr(state, name)
        wrong: dict[str, Any] = {name: None}
        with pytest.raises(TypeError, match=f"MirrorState has no ..{name}"):
            replace(state, **wrong)


def test_a_record_with_slots_is_built_anew() -> None:
    assert replace(Peer(Link.ASKED, "b1", 0), since_ns=5) == Peer(Link.ASKED, "b1", 5)
