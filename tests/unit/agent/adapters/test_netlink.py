"""What is made of the kernel's lists. How it gives them: integration."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkDecodeError

from agent.adapters.netlink import Kernel, Netlink
from manager.model.errors import DefiniteFailure, IndefiniteFailure

_MULTI, _INTERRUPTED = 0x2, 0x10


class Message(dict[str, Any]):
    """An address, as pyroute2 has it."""

    def __init__(self, address: str, *, flags: int = 0, of_address: int = 0) -> None:
        super().__init__(index=2, prefixlen=24, flags=0, header={"flags": _MULTI | flags})
        self._attributes = {"IFA_ADDRESS": address, "IFA_FLAGS": of_address}

    def get_attr(self, name: str) -> object:
        return self._attributes.get(name)


class Route:
    """One whose lists were changed while they were given, so many times."""

    def __init__(self, interrupted: int, *found: Message) -> None:
        self.interrupted = interrupted
        self.found = found or (Message("10.0.0.1"), Message("10.0.0.100"))

    def get_addr(self) -> Iterator[Message]:
        if self.interrupted:
            self.interrupted -= 1
            yield Message("10.0.0.1", flags=_INTERRUPTED)
        else:
            yield from self.found


def of(route: Route) -> Kernel:
    kernel = Kernel()
    kernel._route = route
    return kernel


def test_a_list_that_others_changed_meanwhile_is_asked_for_again() -> None:
    """It may lack an address of ours, which would be taken for removed when it is to be removed, and stay."""
    assert [str(a.address) for a in of(Route(2)).addresses()] == ["10.0.0.1", "10.0.0.100"]


def test_one_that_is_never_whole_is_no_list() -> None:
    with pytest.raises(DefiniteFailure, match="while they were listed"):
        of(Route(1000)).addresses()


@pytest.mark.parametrize(
    ("flags", "unfit"),
    [
        (0x80, False),
        (0x01, True),  # temporary
        (0x300, False),  # a stable one, with temporary ones beside it
        (0x40, True),  # tentative
        (0x44, False),  # and used all the same, as it is optimistic
        (0x48, True),  # somebody else has it
        (0x20, False),  # deprecated
    ],
)
def test_which_addresses_of_ipv6_nobody_could_rely_on(flags: int, unfit: bool) -> None:
    (found,) = of(Route(0, Message("fd00::1", of_address=flags))).addresses()
    assert found.unfit is unfit


def test_of_ipv4_a_second_address_is_as_good_as_any() -> None:
    (found,) = of(Route(0, Message("10.0.0.2", of_address=0x01))).addresses()
    assert found.secondary and not found.unfit


@pytest.mark.parametrize("error", [OSError("no"), NetlinkDecodeError(ValueError("no"))])
def test_what_the_library_cannot_make_out_is_a_failure_of_the_call_and_of_no_more(error: Exception) -> None:
    """It may be a link of a kind that came with another kernel: the agent would end, and the next one too."""

    async def story() -> None:
        netlink = Netlink()

        def fails(kernel: Kernel) -> None:
            raise error

        with pytest.raises(IndefiniteFailure, match="listing: no"):
            await netlink.call("listing", fails)
        assert await netlink.call("listing", lambda _: 1) == 1
        await netlink.close()

    asyncio.run(story())


def test_what_is_to_be_removed_is_removed_though_it_comes_too_late_for_who_asked() -> None:
    done: list[str] = []

    def lasts(kernel: Kernel) -> None:
        time.sleep(0.2)
        done.append("lasted")

    async def story() -> None:
        netlink = Netlink(0.05)
        calls = [netlink.call("one", lasts), netlink.call("another", lambda _: done.append("removed"))]
        came = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, IndefiniteFailure) for one in came) and done == []
        async with asyncio.timeout(5):
            while len(done) < 2:
                await asyncio.sleep(0.01)
        assert done == ["lasted", "removed"]
        await netlink.close()

    asyncio.run(story())
