"""Until when a module's addresses are added. How the kernel takes them: integration."""

import asyncio
from typing import cast

from agent.adapters.addresses import VirtualAddresses
from agent.core import events
from agent.runtime.address_hand import AddressHand

_SECOND_NS = 1_000_000_000


class Asked:
    """Addresses for which the network is asked for as long as the test likes."""

    names = ("10.77.0.100/24",)

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.silent = asyncio.Event()
        self.added: list[tuple[int, bool]] = []

    async def probe(self) -> None:
        self.asked.set()
        await self.silent.wait()

    async def add(self, deadline_ns: int, *, probed: bool = False) -> None:
        if not probed:
            await self.probe()
        self.added.append((deadline_ns, self.asked.is_set()))

    async def renew(self, deadline_ns: int) -> tuple[str, ...]:
        return ()


def test_a_lease_that_is_renewed_while_the_network_is_asked_counts() -> None:
    """Else addresses are refused for a deadline that is long past, and the module is blocked."""

    async def story() -> None:
        deadline_ns = 4 * _SECOND_NS
        addresses, given = Asked(), list[object]()

        def fatal(what: str, error: BaseException) -> None:
            raise AssertionError(what) from error

        hand = AddressHand("web", cast(VirtualAddresses, addresses), given.append, lambda: deadline_ns, fatal)
        hand.add()
        await addresses.asked.wait()
        deadline_ns = 8 * _SECOND_NS
        addresses.silent.set()
        async with asyncio.timeout(5):
            while not given:
                await asyncio.sleep(0.001)
        assert given == [events.AddressesAdded()]
        assert addresses.added == [(8 * _SECOND_NS, True)]
        await hand.close()

    asyncio.run(story())


def test_a_network_that_is_not_to_be_asked_is_not() -> None:
    async def story() -> None:
        addresses, given = Asked(), list[object]()
        hand = AddressHand("web", cast(VirtualAddresses, addresses), given.append, lambda: 1, lambda _, __: None)
        hand.add(probed=True)
        async with asyncio.timeout(5):
            while not given:
                await asyncio.sleep(0.001)
        assert addresses.added == [(1, False)]
        await hand.close()

    asyncio.run(story())
