"""What a replicator keeps of root's rights, by what it is started with."""

from manager.capabilities import Capability
from manager.model.replicator_spec import ReplicatorSpec, SpecAddress
from replicator.rights import needed


def spec(addresses: int = 0, port: int = 0) -> ReplicatorSpec:
    return ReplicatorSpec(
        "c", "db", "m", "a", "boot", ("/srv",), "/run/s", "", port, 1000, False, True, (), "", "/log",
        addresses=(SpecAddress("10.98.0.100", 24, ""),) * addresses,
    )  # fmt: skip


def test_what_it_needs_for_addresses_and_a_port_of_its_own_it_has_only_with_these() -> None:
    least = needed(spec())
    assert needed(spec(addresses=1)) - least == {Capability.NET_ADMIN}
    assert needed(spec(port=700)) - least == {Capability.NET_BIND_SERVICE}
    assert least < needed(spec(addresses=1, port=700))
