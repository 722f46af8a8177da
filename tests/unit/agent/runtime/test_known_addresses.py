"""Where this node is to be found stays in etcd, and is written when it changes."""

from ipaddress import ip_address
from typing import Any, cast

from agent.adapters.netlink import Assigned, Interface
from agent.runtime.known_addresses import KnownAddresses
from manager.model.errors import DefiniteFailure
from manager.model.records import KnownNode
from manager.store.fake_store import Link
from tests.unit.agent.runtime.bench import KEYS, Bench

LO = Interface(1, "lo", b"", False, True, True)
ETH = Interface(2, "eth0", b"\2" * 6, True, False, True)
DOWN = Interface(3, "eth1", b"\3" * 6, True, False, False)


def at(index: int, text: str, *, ours: bool = False) -> Assigned:
    return Assigned(index, ip_address(text), 24, 77 if ours else 0, not ours, 0)


class Kernel:
    """The interfaces and addresses of a machine."""

    def __init__(self, *assigned: Assigned) -> None:
        self.assigned = list(assigned)
        self.links = [LO, ETH, DOWN]
        self.failure: DefiniteFailure | None = None

    async def interfaces(self) -> list[Interface]:
        if self.failure is not None:
            raise self.failure
        return self.links

    async def addresses(self) -> list[Assigned]:
        return self.assigned

    def ours(self, assigned: Assigned) -> bool:
        return assigned.protocol == 77


class Keeper:
    created_revision = 0


def make(bench: Bench, kernel: Kernel, keeper: Keeper, *configured: str) -> KnownAddresses:
    netlink, marks = cast(Any, kernel), cast(Any, kernel)
    return KnownAddresses("a", "boot-a", configured, bench.view, bench.store, cast(Any, keeper), netlink, marks)


def known(bench: Bench) -> KnownNode | None:
    return bench.view.keys.record(KnownNode, KEYS.known("a"))


def registered(bench: Bench) -> Keeper:
    keeper = Keeper()
    kv = bench.etcd.get_now(KEYS.node("a"))
    assert kv is not None
    keeper.created_revision = kv.create_revision
    return keeper


def test_all_real_addresses_are_noted_be_their_links_up_or_not() -> None:
    bench = Bench("a")
    kernel = Kernel(
        at(1, "127.0.0.1"), at(2, "10.0.0.1"), at(2, "10.0.0.100", ours=True), at(2, "fe80::1"), at(3, "192.168.7.1"),
        at(2, "fd00::1"),
    )  # fmt: skip

    async def story() -> None:
        assert await make(bench, kernel, registered(bench), "203.0.113.5", "10.0.0.1").note()
        noted = known(bench)
        assert noted is not None and noted.at
        assert noted.addresses == ("203.0.113.5", "10.0.0.1", "192.168.7.1", "fd00::1")

    bench.run(story)


def test_what_has_not_changed_is_not_written_again() -> None:
    bench, kernel = Bench("a"), Kernel(at(2, "10.0.0.1"))

    async def story() -> None:
        keeping = make(bench, kernel, registered(bench))
        assert await keeping.note()
        revision = bench.etcd.revision
        assert await keeping.note() and bench.etcd.revision == revision
        kernel.assigned = [at(2, "10.0.0.2")]
        assert await keeping.note() and bench.etcd.revision == revision + 1
        noted = known(bench)
        assert noted is not None and noted.addresses == ("10.0.0.2",)

    bench.run(story)


def test_it_is_written_by_the_agent_that_is_registered_only() -> None:
    bench, kernel = Bench("a"), Kernel(at(2, "10.0.0.1"))

    async def story() -> None:
        keeper = Keeper()
        assert not await make(bench, kernel, keeper).note()
        keeper.created_revision = 999
        assert not await make(bench, kernel, keeper).note()
        assert known(bench) is None

    bench.run(story)


def test_it_is_tried_again_when_etcd_or_the_kernel_did_not_answer() -> None:
    bench, kernel = Bench("a"), Kernel(at(2, "10.0.0.1"))

    async def story() -> None:
        keeping = make(bench, kernel, registered(bench))
        bench.store.set_link(Link.DOWN)
        assert not await keeping.note()
        bench.store.set_link(Link.UP)
        kernel.failure = DefiniteFailure("no buffer space")
        assert not await keeping.note()
        kernel.failure = None
        assert await keeping.note()

    bench.run(story)
