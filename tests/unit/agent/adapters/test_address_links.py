"""When somebody is told of the links of a module's addresses. How the kernel tells of links: integration."""

import asyncio
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from agent.adapters.address_links import AddressLinks, Links
from agent.adapters.links import LinkWatch
from agent.adapters.marks import Marks
from agent.adapters.netlink import Assigned, Interface, Netlink
from manager.model.config import AddressConfig
from tests.unit.agent.adapters.test_links import told


class Kernel:
    def __init__(self) -> None:
        self.links = [Interface(2, "eth0", b"\2\0\0\0\0\1", ethernet=True, loopback=False, up=True)]

    async def interfaces(self) -> list[Interface]:
        return self.links

    async def addresses(self) -> list[Assigned]:
        return [Assigned(2, ip_address("10.77.0.1"), 24, 0, True, 0)]


def test_a_link_that_has_just_come_is_told_of_at_once_though_no_address_is_on_it(tmp_path: Path) -> None:
    """It may be on the same network, and would answer for what is held on the loopback."""

    async def story() -> None:
        kernel, watch = Kernel(), LinkWatch()
        links = AddressLinks(
            (AddressConfig("10.77.0.100", 24),), cast(Netlink, kernel), watch, Marks(str(tmp_path / "marks"))
        )
        found, stirs = list[Links](), list[None]()
        following = asyncio.create_task(links.follow(found.append, lambda _: None, lambda: stirs.append(None)))
        async with asyncio.timeout(5):
            while not found:
                await asyncio.sleep(0.001)
        assert not stirs
        kernel.links = [*kernel.links, Interface(3, "eth1", b"\2\0\0\0\0\2", ethernet=True, loopback=False, up=True)]
        watch.take(told(3, up=True))
        assert stirs == [None]
        await asyncio.sleep(0.02)
        assert len(found) == 1, "those of its addresses are the same"
        following.cancel()
        await asyncio.wait({following})
        watch.take(told(3, up=False))
        assert stirs == [None]

    asyncio.run(story())
