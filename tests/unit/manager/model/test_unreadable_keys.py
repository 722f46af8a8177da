"""Which keys of a module are not understood, and what the commands say of each."""

import pytest

from manager.cli.checks.finding import Finding
from manager.cli.commands.check import _applied
from manager.cli.unreadable_words import unreadable_remedy, unreadable_words
from manager.model.codec import encode
from manager.model.keys import ClusterKeys
from manager.model.records import DesiredRecord, InsyncRecord, ModuleConfigRecord
from manager.model.states import Run
from manager.model.unreadable import Kind
from manager.model.unreadable_keys import unreadable
from tests.unit.agent.runtime.bench import toml

CLUSTER = ClusterKeys("c")
KEYS = CLUSTER.module("db")
GOOD = {
    KEYS.config: encode(ModuleConfigRecord("m", 1, toml(), {}, "", "")),
    KEYS.desired("a"): encode(DesiredRecord(Run.STARTED)),
    KEYS.desired("b"): encode(DesiredRecord(Run.STARTED)),
    KEYS.insync: encode(InsyncRecord(1, 1, "a", ())),
    CLUSTER.module("other").config: "startd",
}


def test_nothing_is_found_in_what_a_release_has_written() -> None:
    assert unreadable(KEYS, GOOD) == ()


@pytest.mark.parametrize(
    ("key", "value", "kind", "problem"),
    [
        (KEYS.desired("b"), "startd", Kind.DESIRED, "not JSON"),
        (KEYS.desired("b"), '{"run": "startd"}', Kind.DESIRED, "DesiredRecord.run: one of started, stopped"),
        (KEYS.config, '{"module_id": "m", "version": 999}', Kind.CONFIG, "found 999"),
        (KEYS.config, encode(ModuleConfigRecord("m", 1, "name = ", {}, "", "")), Kind.CONFIG, "module.toml"),
        (KEYS.insync, "[]", Kind.INSYNC, "an object is expected"),
        (KEYS.primary, "", Kind.PRIMARY, "not JSON"),
    ],
)
def test_each_is_named_with_what_is_wrong_and_what_to_do(key: str, value: str, kind: Kind, problem: str) -> None:
    [found] = unreadable(KEYS, GOOD | {key: value})
    assert (found.key, found.kind, found.node) == (key, kind, "b" if kind is Kind.DESIRED else "")
    assert problem in unreadable_words(found) and key in unreadable_words(found)
    assert unreadable_remedy("db", found).startswith(("mirrorfarm ", "docs/operations.md"))
    told: list[Finding] = []
    assert _applied(CLUSTER, {k: v.encode() for k, v in (GOOD | {key: value}).items()}, "a", told) is not None
    assert [f.subject for f in told] == ["db", "other"]


def test_a_value_of_any_length_and_making_is_told_in_one_short_line() -> None:
    [found] = unreadable(KEYS, GOOD | {KEYS.desired("a"): '{"run": "' + "x\\n\\u001b[2J" * 100_000 + '"}'})
    words = unreadable_words(found)
    assert len(words) < 500 and "\x1b" not in words and "\n" not in words
