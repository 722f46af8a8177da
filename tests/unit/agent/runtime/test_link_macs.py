"""When a farm's node is reached by its link, and when it is not any more."""

import asyncio
from collections.abc import Mapping

from agent.adapters.netlink import Interface
from agent.runtime import link_macs
from agent.runtime.link_macs import LinkMacs

HERE = "10.0.0.100"
UP = Interface(2, "eth0", bytes(6), ethernet=True, loopback=False, up=True)
DOWN = Interface(2, "eth0", bytes(6), ethernet=True, loopback=False, up=False)
MAC = "00:00:00:00:00:00"


def told(*steps: tuple[float, Interface | None]) -> list[Mapping[str, str]]:
    """What is told when the link is so, each for that long, as parts of the time that a flicker may last."""
    found: list[Mapping[str, str]] = []

    async def story() -> None:
        macs = LinkMacs(found.append)
        for parts, link in steps:
            macs.linked({HERE: link} if link is not None else {})
            await asyncio.sleep(parts * link_macs.FLICKER_S)
        macs.close()

    asyncio.run(story())
    return found


def test_a_link_without_a_carrier_is_none_after_a_while() -> None:
    assert told((0.1, UP), (1.5, DOWN), (0.1, UP)) == [{HERE: MAC}, {}, {HERE: MAC}]


def test_a_flicker_is_not_told() -> None:
    assert told((0.1, UP), (0.1, DOWN), (0.1, UP), (0.1, DOWN), (0.1, UP)) == [{HERE: MAC}]


def test_one_that_never_had_a_carrier_or_is_gone_is_none_at_once() -> None:
    assert told((0.0, DOWN)) == [{}]
    assert told((0.0, UP), (0.0, None)) == [{HERE: MAC}, {}]
