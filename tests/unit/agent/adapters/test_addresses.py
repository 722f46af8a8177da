"""The kernel lifetimes of virtual addresses: never longer than the deadline, and as near to it as whole seconds go.

And until when they are announced. How the kernel takes them: integration.
"""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters import neighbours
from agent.adapters.addresses import LONGEST_LIFE_S, SECOND_NS, TOP_UP_EARLY_NS, VirtualAddresses, lifetime
from agent.adapters.links import LinkWatch
from agent.adapters.marks import PROTOCOL, Marks
from agent.adapters.netlink import Assigned, Interface, IpAddress, Netlink
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


OWN, WANTED = ip_address("10.77.0.1"), ip_address("10.77.0.100")
LINKS = (2, "mf-none2"), (3, "mf-none3")
"""No links of the machine that runs the tests: settings of a link are written by its name."""


class Kernel:
    """One with two links, of which one has the node's own address; it is its own thread."""

    def __init__(self) -> None:
        self.there = [Assigned(2, OWN, 24, 0, True, 0)]

    def interfaces(self) -> list[Interface]:
        return [Interface(i, name, b"\2\0\0\0\0\1", ethernet=True, loopback=False, up=True) for i, name in LINKS]

    def addresses(self) -> list[Assigned]:
        return list(self.there)

    def put(
        self, index: int, address: IpAddress, length: int, valid_s: int, protocol: int, *, with_route: bool
    ) -> None:
        if (index, address) not in self.where():
            self.there.append(Assigned(index, address, length, protocol, False, valid_s))

    def remove(self, index: int, address: IpAddress, length: int) -> None:
        self.there = [a for a in self.there if (a.index, a.address) != (index, address)]

    def where(self) -> list[tuple[int, IpAddress]]:
        return [(a.index, a.address) for a in self.there]


class OneThread:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def interfaces(self) -> list[Interface]:
        return self._kernel.interfaces()

    async def addresses(self) -> list[Assigned]:
        return self._kernel.addresses()

    async def call(self, what: str, work: Callable[[Kernel], object]) -> object:
        await asyncio.sleep(0)
        return work(self._kernel)


class Stage:
    """One address, and what was announced of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.announced: list[str] = []
        monkeypatch.setattr(neighbours, "announce", lambda link, address: self.announced.append(link.name))
        self.kernel, self.watch, self.now_ns = Kernel(), LinkWatch(), 0
        self._netlink, self._marks = cast(Netlink, OneThread(self.kernel)), Marks(str(directory / "marks"))
        self.held = self.addresses(stays=True)

    def addresses(self, *, stays: bool) -> VirtualAddresses:
        wanted = (AddressConfig(str(WANTED), 24, reset_connections=False),)
        return VirtualAddresses(
            wanted, self._netlink, self.watch, self._marks, lambda error: None, lambda: self.now_ns, stays=stays
        )


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    return Stage(monkeypatch, tmp_path)


def test_what_has_ended_is_announced_no_more_though_its_link_comes_back(stage: Stage) -> None:
    """As after a freeze, when the agent has not been told to drop it yet: another node may have it, and lose it so."""

    async def story() -> None:
        await stage.held.add(3 * SECOND_NS, probed=True)
        assert stage.announced == ["mf-none2"]
        stage.now_ns = 4 * SECOND_NS
        stage.watch._notify(2)
        await asyncio.sleep(0.02)
        assert stage.announced == ["mf-none2"]
        await stage.held.drop()

    asyncio.run(story())


def test_they_follow_the_nodes_own_address_to_another_link(stage: Stage) -> None:
    """As where a bridge is made of the link: nobody would hear of them on one of its ports."""

    async def story() -> None:
        held, kernel = stage.held, stage.kernel
        await held.add(9 * SECOND_NS, probed=True)
        kernel.there = [a for a in kernel.there if a.address != OWN]
        assert await held.renew(9 * SECOND_NS) == ()
        assert kernel.where() == [(2, WANTED)], "it is where it was until the own one is somewhere"
        kernel.there.append(Assigned(3, OWN, 24, 0, True, 0))
        assert await held.renew(9 * SECOND_NS) == (str(WANTED),)
        assert sorted(kernel.where()) == [(3, OWN), (3, WANTED)]
        assert stage.announced == ["mf-none2", "mf-none3"]
        kernel.there.append(Assigned(2, WANTED, 24, PROTOCOL, False, 9))
        assert await held.renew(9 * SECOND_NS) == ()
        assert sorted(kernel.where()) == [(3, OWN), (3, WANTED)], "what is left of it elsewhere goes"
        await held.drop()
        assert kernel.where() == [(3, OWN)]

    asyncio.run(story())


@pytest.mark.parametrize("stays", [True, False])
def test_to_a_link_that_is_a_better_one_only_those_go_that_others_look_for_there(stage: Stage, stays: bool) -> None:
    """A farm's rules are on the link on which an address belongs; what serves by itself is not disturbed."""

    async def story() -> None:
        held, kernel = stage.addresses(stays=stays), stage.kernel
        kernel.there = [Assigned(3, ip_address("10.77.0.2"), 24, 0, True, 0)]
        await held.add(9 * SECOND_NS, probed=True)
        assert (3, WANTED) in kernel.where()
        kernel.there.append(Assigned(2, OWN, 24, 0, True, 0))
        assert await held.renew(9 * SECOND_NS) == (() if stays else (str(WANTED),))
        assert [index for index, address in kernel.where() if address == WANTED] == [3 if stays else 2]
        await held.drop()

    asyncio.run(story())
