"""What comes too early in etcd's history is found by the simulation's judges: by the times between which it came."""

import json

import pytest

from tests.support import record_times
from tests.support.moments import Moments
from tests.support.record_history import Event, Json

RECORD = "modules/db/insync"
ABSENT_S = 9.0
LATE_S = 0.2
"""Between two answers."""

At = tuple[float, str, Json | None]
"""A key that is put, or deleted, at a second."""


def record(epoch: int, number: int, primary: str, *nodes: str, because: str = "primary_lost", **boots: str) -> Json:
    holders = [{"node": n, "boot_id": boots.get(n, f"boot-{n}"), "instance": f"{n}1", "epoch": epoch} for n in nodes]
    return {"epoch": epoch, "number": number, "last_primary": primary, "holders": holders, "because": because}


def registered(node: str, boot_id: str = "", agent: str = "1") -> Json:
    return {"boot_id": boot_id or f"boot-{node}", "agent_instance": agent}


BEGIN: list[At] = [
    (0, "nodes/a", registered("a")), (0, "nodes/b", registered("b")), (1, RECORD, record(1, 1, "a", "a")),
    (2, RECORD, record(1, 2, "a", "a", "b")),
]  # fmt: skip


def found(*more: At) -> list[str]:
    """Each is put between two answers, the later of which has it."""
    events, moments = [], Moments()
    for revision, (at_s, key, value) in enumerate([*BEGIN, *more], start=1):
        events.append(Event(revision, key, value))
        for seen, asked_s in ((revision - 1, at_s - LATE_S), (revision, at_s)):
            moments.take([json.dumps([round(asked_s * 1e9), round((asked_s + 0.01) * 1e9), seen, {}])])
    return record_times.violations(events, "db", "ab", moments, round(ABSENT_S * 1e9))


def lost_and_listed(*times_s: tuple[float, float]) -> list[At]:
    """B is lost, and listed again, so often."""
    numbers = iter(range(3, 99))
    return [
        (at_s, RECORD, record(1, next(numbers), "a", *nodes))
        for pair in times_s
        for at_s, nodes in zip(pair, ("a", "ab"), strict=True)
    ]


@pytest.mark.parametrize(
    ("times_s", "wrong"),
    [
        (((10, 13),), 0),
        (((10, 12),), 1),
        (((10, 12.9),), 0),
        (((10, 14), (20, 25)), 1),
        (((10, 14), (20, 26)), 0),
        (((10, 14), (20, 27), (40, 50)), 1),
    ],
    ids=["stable", "too early", "it may have been stable", "as after the first", "twice as late", "four times as late"],
)
def test_one_that_flaps_is_listed_again_once_it_has_been_stable(
    times_s: tuple[tuple[float, float], ...], wrong: int
) -> None:
    words = found(*lost_and_listed(*times_s))
    assert len(words) == wrong
    assert all(": S10: b is listed again" in one for one in words)


def test_not_one_that_an_operator_has_stopped_or_whose_primary_has_begun_anew() -> None:
    lost, listed = lost_and_listed((10, 11))
    stopped, started = (
        (at_s, "modules/db/desired/b", {"run": run}) for at_s, run in ((9, "stopped"), (10.5, "started"))
    )
    assert len(found(lost, listed)) == 1
    assert found(stopped, lost, started, listed) == []
    assert found(lost, (10.5, "nodes/a", registered("a", agent="2")), listed) == []
    assert len(found(lost, (10.5, "nodes/b", registered("b", agent="2")), listed)) == 1


A_BACK = (20.0, "nodes/a", registered("a", "boot-a2", agent="2"))
AWAY = "power_loss_others_away"


def stands(at_s: float, because: str = AWAY) -> At:
    """A, with another boot id than it was listed with."""
    return at_s, RECORD, record(2, 3, "a", "a", because=because, a="boot-a2")


@pytest.mark.parametrize(("at_s", "wrong"), [(26.0, 1), (29.3, 0)])
def test_one_without_its_memory_waits_until_nobody_was_there_for_long_enough(at_s: float, wrong: int) -> None:
    words = found(A_BACK, (20.0, "nodes/b", None), stands(at_s))
    assert len(words) == wrong
    assert all(": S8: a was promoted without its memory; b, listed, had it" in one for one in words)


def test_nor_does_it_stand_while_one_with_all_of_it_is_there() -> None:
    assert len(found(A_BACK, stands(60))) == 1
    assert found(A_BACK, (20.0, "nodes/b", registered("b", "boot-b2")), stands(21, "power_loss_of_all")) == []
    forgot = {"boot_id": "boot-b+1"}
    assert found(A_BACK, (20.0, "modules/db/members/b", forgot), stands(21, "power_loss_of_all")) == []
    assert len(found(A_BACK, (20.0, "modules/db/members/b", {"boot_id": "boot-b"}), stands(21))) == 1


def test_and_the_history_says_so() -> None:
    (words,) = found(A_BACK, (20.0, "nodes/b", None), stands(40, "primary_lost"))
    assert ": S8: a serves without its memory, and the history says: primary_lost" in words


def test_alone_it_needs_neither() -> None:
    alone = (10.0, RECORD, record(1, 3, "a", "a"))
    stood = (21.0, RECORD, record(2, 4, "a", "a", because="primary_restarted", a="boot-a2"))
    assert found(alone, A_BACK, stood) == []


def went(*nodes: str) -> list[At]:
    """To each of them, one after the other, since its application failed."""
    return [
        (20.0 + i, RECORD, record(2 + i, 3 + i, node, node, because="application_failed"))
        for i, node in enumerate(nodes)
    ]  # fmt: skip


def test_an_application_does_not_go_to_and_fro() -> None:
    assert found(*went("b", "a")) == []
    (words,) = found(*went("b", "a", "b"))
    assert ": to and fro: " in words
    first, *others = went("b", "a", "b")
    for asked in (("modules/db/requests/1", {"status": "pending"}), ("nodes/b", registered("b", agent="2"))):
        assert found(first, (20.5, *asked), *others) == []
