"""The ``[[address]]`` tables of a module."""

import ipaddress

from manager.model.config.findings import Findings
from manager.model.config.module_config import AddressConfig
from manager.model.config.rules import INTERFACE, Rule
from manager.model.config.tables import Table
from manager.model.states import ModuleKind

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _is_cidr(text: str) -> bool:
    return "/" in text and _interface(text) is not None


_CIDR = Rule('an address with its prefix length, as "10.0.0.100/24" or "fd00::100/64"', _is_cidr)

_NOT_OF_A_FARM = (
    "no such key in a farm: the connections to a node stay when another one receives for the address, and are reset "
    "when the node stops"
)


def parse_addresses(tables: list[Table], kind: ModuleKind, findings: Findings) -> tuple[AddressConfig, ...]:
    """The addresses in ``tables``, of a module of ``kind``; what is wrong goes to ``findings``."""
    addresses: list[AddressConfig] = []
    for table in tables:
        address = _address(table, kind, findings)
        if address is None:
            continue
        if any(a.ip == address.ip for a in addresses):
            findings.note(table.path("ip"), f"{address.ip} again", "each address once")
        else:
            addresses.append(address)
    return tuple(addresses)


def _address(table: Table, kind: ModuleKind, findings: Findings) -> AddressConfig | None:
    text = table.required("ip", _CIDR)
    default = AddressConfig("0.0.0.0", 0)
    interface_name = table.text("interface", default.interface, INTERFACE)
    probe = table.boolean("probe", default.probe)
    if kind is ModuleKind.FARM:
        table.refuse_known("reset_connections", _NOT_OF_A_FARM)
        reset_connections = False
    else:
        reset_connections = table.boolean("reset_connections", default.reset_connections)
    table.finish()
    interface = _interface(text)
    if interface is None:
        return None
    reason = _unusable(interface)
    if reason:
        findings.note(table.path("ip"), f'"{text}", {reason}', "an address that one node can have")
        return None
    return AddressConfig(
        ip=str(interface.ip),
        prefix_length=interface.network.prefixlen,
        interface=interface_name,
        probe=probe,
        reset_connections=reset_connections,
    )


def _interface(text: str) -> Interface | None:
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return None
    # A netmask instead of a length would be understood too, and "%eth0" belongs into its own key.
    length = text.partition("/")[2]
    return interface if not length or (length.isascii() and length.isdigit() and "%" not in text) else None


def _unusable(interface: Interface) -> str:
    """Why no node can have the address; empty: one can."""
    ip, network = interface.ip, interface.network
    if ip.is_unspecified:
        return "the unspecified address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_loopback:
        return "a loopback address"
    if ip.is_link_local and ip.version == 6:
        return "a link-local address, which a client cannot reach by its number alone"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return "an IPv4 address in the dress of IPv6"
    if network.prefixlen == 0:
        return "a subnet of everything"
    if ip.version == 4 and network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address):
        return "the network's own address or its broadcast address"
    if ip.version == 6 and network.prefixlen < 127 and ip == network.network_address:
        return "the subnet's anycast address of routers"
    return ""
