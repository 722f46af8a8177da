"""Until when a module's addresses are added. How the kernel takes them: integration."""

import asyncio
from typing import cast

from agent.adapters.addresses import VirtualAddresses
from agent.core import events
from agent.runtime.address_hand import AddressHand
from manager.model.errors import ConfigError, MirrorfarmError

_SECOND_NS = 1_000_000_000


class Asked:
    """Addresses for which the network is asked for as long as the test likes."""

    names = ("10.77.0.100/24",)

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.silent = asyncio.Event()
        self.added: list[tuple[int, bool]] = []
        self.trouble: MirrorfarmError | None = None
        self.gone: tuple[str, ...] = ()
        self.renewed = 0

    async def probe(self) -> None:
        self.asked.set()
        await self.silent.wait()

    async def add(self, deadline_ns: int, *, probed: bool = False) -> None:
        if not probed:
            await self.probe()
        self.added.append((deadline_ns, self.asked.is_set()))

    async def drop(self) -> int:
        return 0

    async def renew(self, deadline_ns: int) -> tuple[str, ...]:
        self.renewed += 1
        if self.trouble is not None:
            raise self.trouble
        return ()

    async def missing(self) -> tuple[str, ...]:
        return self.gone


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


def test_those_that_have_gone_and_cannot_be_added_are_known_to_be_missing_until_they_are_back() -> None:
    async def story() -> None:
        addresses, given, told = Asked(), list[object](), list[bool]()
        deadline_ns = _SECOND_NS

        def changed() -> None:
            told.append(hand.are_missing)

        hand = AddressHand(
            "db", cast(VirtualAddresses, addresses), given.append, lambda: deadline_ns, lambda _, __: None, changed
        )

        async def renewed() -> None:
            nonlocal deadline_ns
            deadline_ns += _SECOND_NS
            hand.renew()
            for _ in range(20):
                await asyncio.sleep(0)

        hand.add(probed=True)
        await renewed()
        # Their link is gone, and after a while they are: the kernel may have them still when a renewal fails.
        addresses.trouble = ConfigError("no such interface")
        await renewed()
        assert told == []
        addresses.gone = ("10.77.0.100",)
        await renewed()
        await renewed()
        assert told == [True]
        addresses.trouble = None
        await renewed()
        assert told == [True, False]
        await hand.close()

    asyncio.run(story())


def test_what_was_added_at_the_moment_of_its_drop_is_not_taken_for_held() -> None:
    """It would be renewed in vain with each deadline, and be told as missing."""

    async def story() -> None:
        addresses, deadline_ns = Asked(), _SECOND_NS
        hand = AddressHand(
            "db", cast(VirtualAddresses, addresses), lambda _: None, lambda: deadline_ns, lambda _, __: None
        )
        hand.add()
        await addresses.asked.wait()
        addresses.silent.set()
        hand.drop()
        await asyncio.sleep(0.01)
        assert len(addresses.added) == 1
        before = addresses.renewed
        deadline_ns += _SECOND_NS
        hand.renew()
        await asyncio.sleep(0.01)
        assert addresses.renewed == before
        await hand.close()

    asyncio.run(story())
