"""Who could serve is who is up, listed with what it has, wanted, and not cut off: and nobody else."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.chances import Chances, Pairs, Seen, Sight

SECOND_NS = 1_000_000_000
AWAY_NS = 9 * SECOND_NS
NODE = Seen(etcd=True, agent=True)
MACHINES = {
    "a": replace(NODE, boot_id="boot-a"), "b": replace(NODE, boot_id="boot-b"), "witness": Seen(etcd=True),
    "client": Seen(),
}  # fmt: skip
NOTHING: Pairs = frozenset()

Json = dict[str, Any]


def keys(*listed: str, **changed: Json | None) -> dict[str, Json]:
    """Both nodes are wanted and registered, and a is the primary; ``changed``: with "_" for "/"."""
    holders = [{"node": node, "boot_id": f"boot-{node}"} for node in listed]
    found: dict[str, Json | None] = {
        "modules/db/insync": {"holders": holders}, "modules/db/primary": {"node": "a"},
        "nodes/a": {"boot_id": "boot-a"}, "nodes/b": {"boot_id": "boot-b"},
    }  # fmt: skip
    for node in "ab":
        found[f"modules/db/desired/{node}"] = {"run": "started"}
        found[f"modules/db/members/{node}"] = {"boot_id": f"boot-{node}", "readiness": "ready", "resources": {}}
    found |= {name.replace("_", "/"): value for name, value in changed.items()}
    return {key: value for key, value in found.items() if value is not None}


def sight(
    values: dict[str, Json] | None = None, cuts: Pairs = NOTHING, etcd_cuts: Pairs = NOTHING, **machines: Seen | None
) -> Sight:
    """All is well, but for what is given."""
    seen = {name: one for name, one in {**MACHINES, **machines}.items() if one is not None}
    return Sight(seen, frozenset({"a", "b", "witness"}), "client", cuts, etcd_cuts, values or keys("a", "b"))


def who(looked_at: Sight) -> list[str]:
    return Chances("db", AWAY_NS).who(looked_at, 0)


def both_ways(one: str, *others: str) -> Pairs:
    return frozenset({(one, other) for other in others} | {(other, one) for other in others})


def test_who_is_listed_and_wanted_could_serve() -> None:
    assert who(sight()) == ["a", "b"]
    assert who(sight(keys("b"))) == ["b"]
    assert who(sight(keys("a", "b", modules_db_desired_a={"run": "stopped"}))) == ["b"]
    assert who(sight(keys("a", "b", modules_db_desired_a=None))) == ["b"]


@pytest.mark.parametrize(
    "a",
    [None, replace(MACHINES["a"], agent=False), replace(MACHINES["a"], frozen_replicator=True)],
    ids=["down or frozen", "without an agent", "with a frozen replicator"],
)
def test_not_who_is_down_or_frozen(a: Seen | None) -> None:
    assert who(sight(a=a)) == ["b"]


def test_a_failed_application_waits_for_an_operator() -> None:
    failed = {"boot_id": "boot-a", "readiness": "blocked", "resources": {"application": "failed"}}
    values = keys("a", "b", modules_db_members_a=failed)
    assert who(sight(values)) == ["b"]
    assert Chances("db", AWAY_NS).pauses(sight(values))
    assert not Chances("db", AWAY_NS).pauses(sight())


@pytest.mark.parametrize(
    ("running", "able"),
    [(("a", "b", "witness"), ["a", "b"]), (("b", "witness"), ["a", "b"]), (("witness",), []), ((), [])],
)
def test_nobody_could_without_a_majority_of_etcd(running: tuple[str, ...], able: list[str]) -> None:
    a, b, witness = (replace(MACHINES[name], etcd=name in running) for name in ("a", "b", "witness"))
    assert who(sight(a=a, b=b, witness=witness)) == able


@pytest.mark.parametrize(
    ("cuts", "etcd_cuts", "able"),
    [
        (both_ways("a", "b"), NOTHING, ["a", "b"]),
        (both_ways("a", "b", "witness", "client"), NOTHING, ["b"]),
        (frozenset({("a", "b"), ("a", "witness"), ("a", "client")}), NOTHING, ["b"]),
        (NOTHING, both_ways("a", "b", "witness", "client"), ["b"]),
        (both_ways("a", "client"), NOTHING, ["b"]),
    ],
    ids=["apart", "from all", "in one direction", "from etcd", "from the client"],
)
def test_nor_who_is_cut_off(cuts: Pairs, etcd_cuts: Pairs, able: list[str]) -> None:
    assert who(sight(cuts=cuts, etcd_cuts=etcd_cuts)) == able


def test_of_two_members_that_are_cut_apart_there_is_no_majority() -> None:
    assert who(sight(cuts=both_ways("a", "b"), witness=None)) == []
    assert who(sight(witness=None)) == ["a", "b"]


def test_what_one_has_no_room_for_is_refused_on_both() -> None:
    assert who(sight(b=replace(MACHINES["b"], full=True))) == []
    assert who(sight(keys("a"), b=replace(MACHINES["b"], full=True))) == ["a"]


def test_a_frozen_application_is_nobodys_business_while_its_primary_is_well() -> None:
    frozen = replace(MACHINES["a"], frozen_application=True)
    assert who(sight(a=frozen)) == []
    assert who(sight(keys("a", "b", modules_db_primary={"node": "b"}), a=frozen)) == ["a", "b"]
    assert who(sight(keys("a", "b", modules_db_primary=None), a=frozen)) == ["a", "b"]
    assert who(sight(a=replace(frozen, agent=False))) == ["b"]


A_BACK = replace(MACHINES["a"], boot_id="boot-a2")


def test_who_has_lost_its_memory_waits_for_one_that_has_not() -> None:
    assert who(sight(keys("a", "b", nodes_a={"boot_id": "boot-a2"}), a=A_BACK)) == ["b"]
    assert who(sight(keys("a", nodes_a={"boot_id": "boot-a2"}), a=A_BACK)) == ["a"]


def test_when_both_have_lost_it_either_may_stand() -> None:
    back = {"nodes_a": {"boot_id": "boot-a2"}, "nodes_b": {"boot_id": "boot-b2"}}
    b_back = replace(MACHINES["b"], boot_id="boot-b2")
    assert who(sight(keys("a", "b", **back), a=A_BACK, b=b_back)) == ["a", "b"]


def test_a_member_tells_of_a_loss_without_a_reboot() -> None:
    forgot = {"boot_id": "boot-a+1", "readiness": "ready", "resources": {}}
    assert who(sight(keys("a", "b", modules_db_members_a=forgot))) == ["b"]


ALONE = sight(keys("a", "b", nodes_b=None), a=A_BACK, b=None)


def test_without_its_memory_it_may_once_nobody_else_was_there_for_long_enough() -> None:
    chances = Chances("db", AWAY_NS)
    assert [chances.who(ALONE, at_ns) for at_ns in (0, AWAY_NS - 1, AWAY_NS)] == [[], [], ["a"]]


@pytest.mark.parametrize(
    "between", [sight(keys("a", "b", nodes_b=None), a=A_BACK, b=None, witness=None), None], ids=["no etcd", "served"]
)
def test_that_begins_anew_where_it_is_not_known_or_one_has_served(between: Sight | None) -> None:
    chances = Chances("db", AWAY_NS)
    looks = ((ALONE, 0), (between, 1), (ALONE, 2), (ALONE, AWAY_NS + 1), (ALONE, AWAY_NS + 2))
    assert [chances.who(seen, at_ns) for seen, at_ns in looks] == [[], [], [], [], ["a"]]
