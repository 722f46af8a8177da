import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model.records import DiskIdentity
from replicator.disk import linux
from replicator.disk.identity import (
    IdentityUnreadable,
    NotedIdentity,
    foreign,
    lowest,
    read_identity,
    write_identity,
)

_ONE = NotedIdentity(cluster_id="c", module_id="m", epoch=3, revision=50)
_OTHER = NotedIdentity(cluster_id="c", module_id="m", epoch=4, revision=40)
_WITH_STORE = NotedIdentity(cluster_id="c", module_id="m", epoch=3, revision=50, store_id="s", node="a")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    directory = os.open(tmp_path, os.O_RDONLY)
    yield directory
    os.close(directory)


def test_a_disk_vouches_for_what_was_written_last(root: int) -> None:
    assert read_identity(root) is None
    write_identity(root, _ONE)
    write_identity(root, _OTHER)
    assert read_identity(root) == _OTHER


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"cluster_id": "c"}', b"\xff" * 9000])
def test_a_damaged_identity_is_not_a_missing_one(root: int, tmp_path: Path, text: bytes) -> None:
    write_identity(root, _ONE)
    (tmp_path / ".mirrorfarm" / "identity.json").write_bytes(text)
    with pytest.raises(IdentityUnreadable):
        read_identity(root)


def test_an_identity_of_an_older_format_is_read_and_replaced(root: int, tmp_path: Path) -> None:
    private = tmp_path / ".mirrorfarm"
    private.mkdir()
    (private / "identity.json").write_text('{"cluster_id": "c", "module_id": "m", "epoch": 3, "revision": 50}\n')
    assert read_identity(root) == _ONE
    for identity in (_WITH_STORE, _OTHER):
        write_identity(root, identity)
        assert read_identity(root) == identity


def test_an_identity_that_was_written_by_halves_does_not_count(root: int, tmp_path: Path) -> None:
    write_identity(root, _ONE)
    spare = tmp_path / ".mirrorfarm" / "identity.json.new"
    spare.write_bytes(b"\0" * 7)
    assert read_identity(root) == _ONE
    write_identity(root, _OTHER)
    assert read_identity(root) == _OTHER
    assert spare.stat().st_size == (tmp_path / ".mirrorfarm" / "identity.json").stat().st_size


def test_a_file_system_that_exchanges_no_names_replaces_it(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EINVAL, "no exchange")

    monkeypatch.setattr(linux, "rename", refused)
    for identity in (_ONE, _OTHER):
        write_identity(root, identity)
        assert read_identity(root) == identity


def test_all_disks_of_a_module_vouch_together() -> None:
    assert lowest([_OTHER, _WITH_STORE]) == DiskIdentity("c", "m", 3, 40, "s")
    assert lowest([_ONE, _OTHER]) == DiskIdentity(cluster_id="c", module_id="m", epoch=3, revision=40)
    assert lowest([_ONE, None]) is None
    assert lowest([]) is None


def test_a_disk_of_another_cluster_module_or_node_is_named() -> None:
    assert foreign([_ONE, None, _WITH_STORE], "c", "m", "a") == ""
    assert "cluster c" in foreign([_ONE], "d", "m", "a")
    assert "module m" in foreign([_ONE], "c", "n", "a")
    assert "node a" in foreign([_ONE, _WITH_STORE], "c", "m", "b")
