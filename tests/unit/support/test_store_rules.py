"""The simulation's judge of the store finds in a real one's history what it finds in a simulated one's."""

import pytest

from tests.support import store_rules
from tests.support.record_history import Event, Json

RECORD, PRIMARY = "modules/db/insync", "modules/db/primary"


def record(revision: int, epoch: int, number: int, primary: str, *nodes: str) -> Event:
    holders = [{"node": node, "boot_id": f"boot-{node}", "instance": f"{node}1", "epoch": epoch} for node in nodes]
    return Event(revision, RECORD, {"epoch": epoch, "number": number, "last_primary": primary, "holders": holders})


def key(revision: int, node: str, epoch: int) -> Event:
    return Event(revision, PRIMARY, {"node": node, "epoch": epoch, "instance": f"{node}{epoch}"})


def gone(revision: int) -> Event:
    return Event(revision, PRIMARY, None)


OTHER: Json = {"boot_id": "boot-b"}
PAIR = [
    key(2, "a", 1), record(2, 1, 1, "a", "a"), Event(3, "nodes/b", OTHER), record(4, 1, 2, "a", "a", "b"),
]  # fmt: skip


def found(*more: Event, named: tuple[str, ...] = ("a",)) -> list[str]:
    return store_rules.violations([*PAIR, *more], "db", named)


@pytest.mark.parametrize(
    "more",
    [
        (gone(5), key(6, "b", 2), record(6, 2, 3, "b", "b")),
        (gone(5), key(6, "a", 1), record(6, 1, 3, "a", "a", "b")),
        (key(5, "b", 2), record(5, 2, 3, "b", "a", "b")),
        (record(5, 1, 3, "a", "a"),),
    ],
    ids=["elected", "resumed", "handed over", "dropped"],
)
def test_what_the_rules_allow(more: tuple[Event, ...]) -> None:
    assert found(*more) == []


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("P4", (record(5, 1, 3, "a", "a"), gone(6), key(7, "b", 2), record(7, 2, 4, "b", "b"))),
        ("S1", (gone(5), key(6, "b", 3), record(6, 3, 3, "b", "b"))),
        ("S1", (record(5, 1, 4, "a", "a"),)),
        ("S1", (gone(5), record(6, 1, 3, "a", "a"))),
        ("S1", (gone(5), key(6, "a", 1), record(6, 1, 3, "a", "a"))),
        ("S1", (gone(5), record(6, 2, 3, "b", "b"))),
        ("S2", (key(5, "b", 2), record(6, 1, 3, "a", "a"))),
    ],
    ids=[
        "not listed", "an epoch is left out", "a change is missing", "dropped without a key", "dropped by a resume",
        "an epoch without its key", "changed by a former primary",
    ],
)  # fmt: skip
def test_what_they_do_not_allow(rule: str, more: tuple[Event, ...]) -> None:
    (words,) = found(*more)
    assert words.startswith(f"revision {more[-1].revision}: {rule}: ")


def test_who_began_was_named() -> None:
    assert found(named=("b",))[0].startswith("revision 2: S9: ")
