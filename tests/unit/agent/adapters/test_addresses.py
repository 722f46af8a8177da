"""The kernel lifetimes of virtual addresses: never longer than the deadline, and as near to it as whole seconds go.

And until when they are announced. How the kernel takes them: integration.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters import neighbours
from agent.adapters.addresses import LONGEST_LIFE_S, SECOND_NS, TOP_UP_EARLY_NS, VirtualAddresses, lifetime
from agent.adapters.links import LinkWatch
from agent.adapters.marks import Marks
from agent.adapters.netlink import Assigned, Interface, Netlink
from manager.model.config import AddressConfig


@given(st.integers(min_value=-(10**12), max_value=10**15))
def test_a_life_never_outlasts_the_deadline(remaining_ns: int) -> None:
    seconds, again_after_ns = lifetime(remaining_ns)
    assert seconds * SECOND_NS <= max(0, remaining_ns)
    assert again_after_ns + seconds * SECOND_NS <= max(0, remaining_ns)
    assert 0 <= seconds <= LONGEST_LIFE_S


@given(st.integers(min_value=SECOND_NS, max_value=LONGEST_LIFE_S * SECOND_NS))
def test_the_same_seconds_given_again_reach_the_deadline(remaining_ns: int) -> None:
    seconds, again_after_ns = lifetime(remaining_ns)
    assert seconds >= 1
    # The second life, given after the fraction, ends less than what it is given early before the deadline.
    end_ns = again_after_ns + seconds * SECOND_NS
    assert remaining_ns - end_ns <= TOP_UP_EARLY_NS
    # And when it is given, there are still as many whole seconds left.
    assert lifetime(remaining_ns - again_after_ns)[0] == seconds


def test_less_than_a_second_is_no_life_at_all() -> None:
    assert lifetime(SECOND_NS - 1) == (0, 0)
    assert lifetime(0) == (0, 0)
    assert lifetime(-1) == (0, 0)


def test_whole_seconds_need_no_second_life() -> None:
    assert lifetime(7 * SECOND_NS) == (7, 0)


class Kernel:
    """One that has a link with the node's own address, and does nothing else."""

    def __init__(self) -> None:
        self.links = [Interface(2, "eth0", b"\2\0\0\0\0\1", ethernet=True, loopback=False, up=True)]

    async def interfaces(self) -> list[Interface]:
        return self.links

    async def addresses(self) -> list[Assigned]:
        return [Assigned(2, ip_address("10.77.0.1"), 24, 0, True, 0)]

    async def call(self, what: str, work: Callable[[object], object]) -> object:
        return tuple(cast("partial[object]", work).args[0]) if what.startswith("adding") else 0


def test_what_has_ended_is_announced_no_more_though_its_link_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after a freeze, when the agent has not been told to drop it yet: another node may have it, and lose it so."""
    told: list[str] = []
    monkeypatch.setattr(neighbours, "announce", lambda link, address: told.append(f"{address} on {link.name}"))
    watch, now_ns = LinkWatch(), 0

    async def story() -> None:
        nonlocal now_ns
        wanted, marks = (AddressConfig("10.77.0.100", 24),), Marks(str(tmp_path / "marks"))
        held = VirtualAddresses(wanted, cast(Netlink, Kernel()), watch, marks, lambda error: None, lambda: now_ns)
        await held.add(3 * SECOND_NS, probed=True)
        assert told == ["10.77.0.100 on eth0"]
        now_ns = 4 * SECOND_NS
        watch._notify(2)
        await asyncio.sleep(0.05)
        assert told == ["10.77.0.100 on eth0"]
        await held.drop()

    asyncio.run(story())
