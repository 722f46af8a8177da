"""Names, inode numbers of an epoch, and the keys of etcd."""

import pytest

from manager.model.ids import MAX_EPOCH, first_inode, is_name
from manager.model.keys import ClusterKeys

KEYS = ClusterKeys("main")


@pytest.mark.parametrize("name", ["a", "db", "Node-1", "x_y", "a" * 32])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "1a", "-a", "a" * 33, "a b", "a/b", "a\n", "é", ".."])
def test_no_names(name: str) -> None:
    assert not is_name(name)


def test_epochs_have_inode_numbers_of_their_own() -> None:
    assert first_inode(1) == 1 << 40
    assert first_inode(2) - first_inode(1) == 1 << 40
    assert first_inode(MAX_EPOCH) < 1 << 63
    for epoch in (0, -1, MAX_EPOCH + 1):
        with pytest.raises(ValueError, match="epoch"):
            first_inode(epoch)


def test_keys_are_those_of_the_design() -> None:
    module = KEYS.module("db")
    assert KEYS.identity == "/mirrorfarm/main/id"
    assert KEYS.node("a") == "/mirrorfarm/main/nodes/a"
    assert KEYS.known("a") == "/mirrorfarm/main/known/a"
    assert module.lacking("b") == "/mirrorfarm/main/modules/db/lacking/b"
    assert module.config == "/mirrorfarm/main/modules/db/config"
    assert module.desired("a") == "/mirrorfarm/main/modules/db/desired/a"
    assert module.primary == "/mirrorfarm/main/modules/db/primary"
    assert module.insync == "/mirrorfarm/main/modules/db/insync"
    assert module.member("b") == "/mirrorfarm/main/modules/db/members/b"
    assert module.request("r1") == "/mirrorfarm/main/modules/db/requests/r1"


def test_history_keys_sort_by_epoch() -> None:
    keys = [KEYS.module("db").history(e) for e in (9, 10, 99, 100, 1_000_000)]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("key", "split"),
    [
        ("/mirrorfarm/main/modules/db/config", ("db", "config")),
        ("/mirrorfarm/main/modules/db/members/a", ("db", "members/a")),
        ("/mirrorfarm/main/modules/db/", None),
        ("/mirrorfarm/main/modules/db", None),
        ("/mirrorfarm/main/nodes/a", None),
        ("/mirrorfarm/other/modules/db/config", None),
    ],
)
def test_a_modules_key_is_taken_apart(key: str, split: tuple[str, str] | None) -> None:
    assert KEYS.split_module(key) == split
