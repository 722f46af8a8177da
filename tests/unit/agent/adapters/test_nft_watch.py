"""Which notifications say that tables were taken out. How the kernel notifies: integration."""

import struct

import pytest

from agent.adapters.nft_watch import TableWatch

_NEW_TABLE, _DELETED_TABLE, _NEW_RULE, _DELETED_RULE = (10 << 8 | kind for kind in (0, 2, 6, 8))


def told(*kinds: int) -> bytes:
    """Each a struct nlmsghdr and a struct nfgenmsg."""
    return b"".join(struct.pack("=IHHIIBBH", 20, kind, 0, 0, 0, 5, 0, 0) for kind in kinds)


def test_that_a_table_was_taken_out_is_told_once_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TableWatch, "_listen", lambda watch: None)
    watch, found = TableWatch(), list[None]()

    def removed() -> None:
        found.append(None)

    watch.unwatch(removed)
    watch.watch(removed)
    watch.take(told(_NEW_TABLE, _NEW_RULE, _DELETED_RULE))
    assert not found
    watch.take(told(_DELETED_RULE, _DELETED_TABLE, _DELETED_TABLE, _NEW_TABLE))
    assert len(found) == 1
    watch.unwatch(removed)
    watch.unwatch(removed)
    watch.take(told(_DELETED_TABLE))
    assert len(found) == 1
