"""The core's own way to copy a record gives what ``dataclasses.replace`` gives, and leaves the first one as it was."""

import dataclasses
from typing import Any

import pytest

from agent.core.copying import replace
from agent.core.state import Link, Peer, Rep
from tests.unit.agent.core.desk import Desk


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


def test_a_record_with_slots_is_built_anew() -> None:
    assert replace(Peer(Link.ASKED, "b1", 0), since_ns=5) == Peer(Link.ASKED, "b1", 5)
