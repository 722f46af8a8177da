import os
import stat

import pytest

from replicator.fuse.privileges import Caller, mode_after_change

_MEMBER, _STRANGER = Caller(gid=7, pid=0), Caller(gid=8, pid=0)


@pytest.mark.parametrize(
    ("mode", "caller", "after"),
    [
        (0o100644, _STRANGER, None),
        (0o104755, _MEMBER, 0o755),
        (0o102755, _MEMBER, 0o755),
        (0o106711, _STRANGER, 0o711),
        (0o102644, _MEMBER, None),  # set-group of what the group may not execute: a member leaves it
        (0o102644, _STRANGER, 0o644),
        (0o106644, None, 0o2644),
        (0o106755, None, 0o755),
        (0o106644, _MEMBER, 0o2644),
        (0o101777, _STRANGER, None),
        (stat.S_IFDIR | 0o6777, _STRANGER, None),
    ],
)
def test_what_a_change_takes_away(mode: int, caller: Caller | None, after: int | None) -> None:
    assert mode_after_change(mode, 7, caller) == after


def test_supplementary_groups_count() -> None:
    groups = os.getgroups()
    caller = Caller(gid=0xFFFF, pid=os.getpid())
    assert [mode_after_change(0o102644, group, caller) for group in groups] == [None] * len(groups)
    assert mode_after_change(0o102644, 0xFFFE, caller) == 0o644
