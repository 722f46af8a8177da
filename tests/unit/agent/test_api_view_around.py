"""What is shown around the modules: whose agents are there, and who took over last."""

from agent.api_view import Keys
from agent.api_view_around import around
from manager.model.api_around import Around, NodePresence
from manager.model.codec import encode
from manager.model.keys import ClusterKeys
from manager.model.records import HistoryRecord, KnownNode, NodeRecord

KEYS = ClusterKeys("c")
ABSENT_MS = {"b": 12_500}


def entry(module: str, epoch: int, at: str) -> tuple[str, str]:
    record = HistoryRecord(epoch, "a", "b", "swap", at)
    return KEYS.module(module).history(epoch), encode(record)


VALUES = {
    KEYS.known("a"): encode(KnownNode("a", (), "", "")),
    KEYS.known("b"): encode(KnownNode("b", (), "", "")),
    KEYS.node("a"): encode(NodeRecord("a", (), "0.1.0", "boot", "i", 3)),
    **dict(
        (
            entry("db", 2, "2026-11-26T02:00:00.000Z"), entry("db", 1, "2026-11-26T01:00:00.000Z"),
            entry("db2", 7, "2026-11-26T01:30:00.000Z"), (KEYS.module("db2").history(8), "of another release"),
        )
    ),
}  # fmt: skip


def shown(*modules: str, most: int = 9, fresh: bool = True) -> Around:
    return around(Keys(KEYS, VALUES), modules, most, fresh=fresh, absent_ms=ABSENT_MS.get)


def test_each_node_that_was_ever_there_is_registered_or_away_for_so_long() -> None:
    assert shown().nodes == (NodePresence("a", True, "0.1.0", None), NodePresence("b", False, "", 12_500))


def test_without_etcd_it_is_not_known_who_is_there() -> None:
    unknown = shown("db", fresh=False)
    assert [(n.registered, n.away_ms) for n in unknown.nodes] == [(None, None), (None, None)]
    assert len(unknown.takeovers) == 2, "what has been, stays so"


def test_the_last_take_overs_of_these_modules_the_newest_first() -> None:
    def told(*modules: str, most: int = 9) -> list[tuple[str, int]]:
        return [(t.module, t.entry.epoch) for t in shown(*modules, most=most).takeovers]

    assert told("db", "db2") == [("db", 2), ("db2", 7), ("db", 1)]
    assert told("db", "db2", most=2) == [("db", 2), ("db2", 7)]
    assert told("db2") == [("db2", 7)]
    assert told("db", most=0) == told("web") == []
