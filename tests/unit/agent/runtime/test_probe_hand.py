"""Whether another node is there is asked once, answered always, and virtual addresses tell nothing of it."""

import asyncio
from typing import Any, cast

from agent.adapters.netlink import Assigned, Interface
from agent.core import events
from agent.core.commands import ProbeNode
from agent.runtime.probe_hand import ProbeHand
from manager.model.errors import IndefiniteFailure


class Kernel:
    """A machine without addresses; or one that does not answer."""

    def __init__(self, failure: IndefiniteFailure | None = None) -> None:
        self.failure = failure

    async def interfaces(self) -> list[Interface]:
        if self.failure is not None:
            raise self.failure
        return []

    async def addresses(self) -> list[Assigned]:
        return []


def asked(kernel: Kernel, *addresses: str) -> list[events.Event]:
    """What the core is given. Nothing is sent: an address that is none cannot be asked."""
    given: list[events.Event] = []

    def broken(what: str, error: BaseException) -> None:
        raise error

    async def story() -> None:
        hand = ProbeHand("db", 7789, ("10.0.0.100",), cast(Any, kernel), given.append, broken)
        hand.probe(ProbeNode("r1", "b", addresses))
        async with asyncio.timeout(10):
            while not given:
                await asyncio.sleep(0)
        await hand.close()

    asyncio.run(story())
    return given


def test_a_virtual_address_is_not_asked() -> None:
    untried = (("10.0.0.100", "a virtual address"), ("nonsense", "not an address"))
    assert asked(Kernel(), "nonsense", "10.0.0.100") == [events.NodeProbed("r1", "", untried)]


def test_where_the_kernel_cannot_be_asked_nothing_was_tried() -> None:
    given = asked(Kernel(IndefiniteFailure("no answer within 3 s")), "10.0.0.2", "fd00::2")
    why = "no answer within 3 s"
    assert given == [events.NodeProbed("r1", "", (("10.0.0.2", why), ("fd00::2", why)))]


def test_an_address_for_which_this_machine_has_no_socket_is_not_asked_and_nothing_breaks() -> None:
    """As one of IPv6, where the kernel was started without: the agent ended, whenever a start was forced there."""
    (probed,) = asked(Kernel(), "fe80::1%nolink")
    assert isinstance(probed, events.NodeProbed) and not probed.answering
    assert [address for address, _ in probed.untried] == ["fe80::1%nolink"]
