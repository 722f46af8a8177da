"""Who is listed has every completed write on its disk, whoever else has it."""

import pytest

from tests.support import client_history, listed_copies
from tests.support.client_history import Call
from tests.unit.support.test_client_history import MS, call

RECORD = {"holders": [{"node": node, "boot_id": f"boot-{node}"} for node in "ab"]}


def found(a: list[int], b: list[int], keepers: str = "ab") -> list[str]:
    return listed_copies.violations(RECORD, [1, 2, 3], {"a": a, "b": b}, keepers)


def test_more_than_what_was_completed_may_be_there() -> None:
    assert found([1, 2, 3], [1, 2, 3, 9]) == []


@pytest.mark.parametrize("node", ["a", "b"])
def test_each_that_lacks_something_is_told(node: str) -> None:
    a, b = ([1, 3] if node == name else [1, 2, 3] for name in "ab")
    (words,) = found(a, b)
    assert words.startswith(f"S2: {node} is in the record with write 0 in block 2")
    assert len(found([1, 3], [2, 3])) == 2


def test_who_has_lost_its_memory_since_may_lack_it() -> None:
    assert found([1, 2, 3], [1], keepers="a") == []


def test_who_is_not_listed_may_lack_it() -> None:
    alone = {"holders": RECORD["holders"][:1]}
    assert listed_copies.violations(alone, [1], {"a": [1]}, "ab") == []


def test_what_is_promised_was_completed_and_is_synced_where_all_lost_their_power() -> None:
    calls: list[Call] = [call(1), call(2, "sync"), call(3), call(4, "read", value=3), call(7)]
    assert client_history.promised(calls, []) == [1, 2, 3, 7]
    assert client_history.promised(calls, [50 * MS]) == [1, 2, 7]
    assert client_history.promised(calls, [50 * MS, 72 * MS]) == [1, 2]
