"""Which links are taken for ones that have come up, by what the kernel tells. How it tells: integration."""

import struct

from agent.adapters.links import LinkWatch

_ETHERNET, _UP, _LOWER_UP = 1, 0x1, 0x10000
_NEW, _DELETED = 16, 17


def told(index: int, *, up: bool, kind: int = _NEW) -> bytes:
    """One notification: struct nlmsghdr and struct ifinfomsg."""
    body = struct.pack("=BxHiII", 0, _ETHERNET, index, _UP | (_LOWER_UP if up else 0), 0)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_a_link_that_had_no_carrier_has_come_up() -> None:
    watch, found, changes = LinkWatch(), list[int](), list[None]()
    watch.listen(found.append)
    watch.watch(lambda: changes.append(None))
    watch.take(told(2, up=True))
    watch.take(told(2, up=True))
    watch.take(told(2, up=False) + told(3, up=False))
    assert found == [2]
    watch.take(told(2, up=True) + told(3, up=True))
    assert found == [2, 2, 3] and len(changes) == 4


def test_a_cable_that_is_plugged_in_when_the_agent_runs_is_noticed() -> None:
    """The kernel tells it once: whoever has the address there since then would never announce it."""
    watch, found = LinkWatch(), list[int]()
    watch.listen(found.append)
    watch.take(told(2, up=True))
    assert found == [2]


def test_a_link_that_is_made_anew_has_come_up() -> None:
    watch, found = LinkWatch(), list[int]()
    watch.listen(found.append)
    watch.take(told(2, up=True) + told(2, up=True, kind=_DELETED))
    watch.take(told(2, up=True))
    assert found == [2, 2]
