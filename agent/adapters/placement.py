"""Which interface a virtual address belongs on. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from agent.adapters.marks import Marks
from agent.adapters.netlink import Assigned, Interface, IpAddress
from manager.model.config import AddressConfig
from manager.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Placed:
    """A wanted address with the interface it belongs on."""

    wanted: AddressConfig
    address: IpAddress
    interface: Interface

    def is_at(self, assigned: Assigned) -> bool:
        """Whether ``assigned`` is this address on this interface."""
        return (assigned.index, assigned.address) == (self.interface.index, self.address)

    def is_in(self, assigned: Assigned) -> bool:
        """Whether this address is another one of the subnet that ``assigned`` is in."""
        own = assigned.address
        if own.version != self.address.version or own == self.address:
            return False
        return self.address in ip_network((own, assigned.prefix_length), strict=False)


def place(
    wanted: Sequence[AddressConfig], interfaces: Sequence[Interface], assigned: Sequence[Assigned], marks: Marks
) -> tuple[Placed, ...]:
    """Finds each address's interface: the one named, else the one whose own address is in the narrowest such subnet.

    Raises:
        ConfigError: there is none.
    """
    return tuple(Placed(w, ip_address(w.ip), _interface_for(w, interfaces, assigned, marks)) for w in wanted)


def _interface_for(
    wanted: AddressConfig, interfaces: Sequence[Interface], assigned: Sequence[Assigned], marks: Marks
) -> Interface:
    if wanted.interface:
        named = next((i for i in interfaces if i.name == wanted.interface), None)
        if named is None:
            names = ", ".join(i.name for i in interfaces)
            raise ConfigError(f"address {wanted.ip}: interface: found {wanted.interface}; allowed: {names}")
        return named
    address = ip_address(wanted.ip)
    by_index = {i.index: i for i in interfaces if not i.loopback}
    near = [
        (-a.prefix_length, a.index)
        for a in assigned
        if a.index in by_index and a.address.version == address.version and a.address != address
        and address in ip_network((a.address, a.prefix_length), strict=False) and not marks.ours(a)
    ]  # fmt: skip
    if not near:
        raise ConfigError(
            f"address {wanted.ip}: interface: found none with an address of the same subnet; "
            f"allowed: {', '.join(i.name for i in by_index.values())}"
        )
    return by_index[min(near)[1]]
