"""At which addresses the others find this node is registered as they come and go."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
import structlog

from agent.runtime.own_addresses import OwnAddresses, own_addresses
from manager.model.errors import DefiniteFailure
from tests.unit.agent.runtime.test_known_addresses import ETH, Kernel, at


class Told:
    """What is registered of a node that found ``first`` at its start."""

    def __init__(self, kernel: Kernel, *first: str) -> None:
        self.registered: list[tuple[str, ...]] = []
        self.own = OwnAddresses(cast(Any, kernel), cast(Any, kernel), first, self.registered.append)

    def look(self) -> tuple[str, ...]:
        return asyncio.run(self.own.now())


def test_a_link_that_comes_up_is_registered_and_one_that_goes_is_not_any_more() -> None:
    kernel = Kernel(at(2, "10.0.0.1"))
    told = Told(kernel, "10.0.0.1")
    assert told.look() == ("10.0.0.1",) and not told.registered, "what is registered already is not written again"
    kernel.assigned = [at(2, "10.0.0.0"), at(2, "fd00::1"), at(2, "10.0.0.1"), at(2, "10.0.0.100", ours=True)]
    assert told.look() == ("10.0.0.0", "10.0.0.1", "fd00::1")
    assert told.registered == [("10.0.0.1", "10.0.0.0", "fd00::1")], "where it is probed, and mirrors, stays the first"
    told.look()
    kernel.assigned = [at(2, "10.0.0.1")]
    told.look()
    assert told.registered[1:] == [("10.0.0.1",)]


@pytest.mark.parametrize("bridge", ["docker0", "br-0a1b2c3d4e5f", "virbr0", "lxdbr0", "cni0"])
def test_what_every_machine_has_for_its_containers_is_none(bridge: str) -> None:
    """It may be there before the network is: another node that looked for this one there would find itself."""
    kernel = Kernel(at(4, "172.17.0.1"), at(2, "10.0.0.1"), at(5, "10.1.0.1"))
    kernel.links += [replace(ETH, index=4, name=bridge), replace(ETH, index=5, name="br-lan")]
    found = asyncio.run(own_addresses(cast(Any, kernel), cast(Any, kernel)))
    assert found == ("10.0.0.1", "10.1.0.1")


def test_one_that_ends_within_days_or_that_somebody_else_may_have_is_none() -> None:
    """The first one is where the node is probed, and its mirrors are found, for as long as its agent runs."""
    kernel = Kernel(replace(at(2, "fd00::1"), unfit=True), at(2, "fd00::2"))
    assert asyncio.run(own_addresses(cast(Any, kernel), cast(Any, kernel))) == ("fd00::2",)


def test_the_address_that_all_rests_on_stays_registered_and_it_is_said_that_a_restart_is_needed() -> None:
    kernel = Kernel(at(2, "10.0.0.9"))
    told = Told(kernel, "10.0.0.1", "10.0.0.2")
    with structlog.testing.capture_logs() as said:
        told.look()
        told.look()
        kernel.assigned = []
        assert told.look() == ()
        kernel.assigned = [at(2, "10.0.0.1")]
        told.look()
    assert told.registered == [("10.0.0.1", "10.0.0.9"), ("10.0.0.1",)], "without any it waits for those that were"
    (gone,) = [one for one in said if one["event"] == "address.gone"]
    assert gone["address"] == "10.0.0.1" and "restart" in gone["remedy"] and gone["log_level"] == "warning"
    assert [one["event"] for one in said if one["event"] == "address.returned"] == ["address.returned"]


def test_a_kernel_that_cannot_be_asked_changes_nothing() -> None:
    kernel = Kernel(at(2, "10.0.0.1"))
    told = Told(kernel, "10.0.0.1")
    kernel.failure = DefiniteFailure("no")
    with pytest.raises(DefiniteFailure):
        told.look()
    assert not told.registered
