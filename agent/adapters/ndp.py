"""Neighbour discovery for IPv6 on Ethernet: bytes and objects, no sockets.

Sources: RFC 4861 (solicitation and advertisement), RFC 4862 (5.4, the solicitation that looks for a duplicate),
RFC 2464 (multicast MACs).
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

ETHERTYPE_IPV6 = 0x86DD
ALL_NODES = IPv6Address("ff02::1")
UNSPECIFIED = IPv6Address(0)
NEIGHBOUR_SOLICITATION = 135
NEIGHBOUR_ADVERTISEMENT = 136
FLAG_ROUTER = 0x80
FLAG_OVERRIDE = 0x20

_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")
_MESSAGE = struct.Struct("!BBHI16s")
_ICMPV6 = 58
_HOP_LIMIT = 255
"""What neighbour discovery must arrive with, so that no router can have passed it on."""
_OPTION_TARGET_MAC = 2
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A neighbour advertisement: who has ``target``."""

    target: IPv6Address
    mac: bytes | None
    """``None``: it does not say."""


def solicitation(own_mac: bytes, address: IPv6Address) -> bytes:
    """The frame that asks whether anyone has ``address``, as duplicate address detection does."""
    destination = IPv6Address(_SOLICITED_NODE + address.packed[13:])
    return _frame(own_mac, UNSPECIFIED, destination, _MESSAGE.pack(NEIGHBOUR_SOLICITATION, 0, 0, 0, address.packed))


def announcement(own_mac: bytes, address: IPv6Address, *, router: bool) -> bytes:
    """The unsolicited advertisement that tells everyone who has ``address`` (RFC 4861, 7.2.6).

    ``router``: whether this host forwards IPv6 on that interface; told wrongly, neighbours drop their routes by it.
    """
    flags = FLAG_OVERRIDE | (FLAG_ROUTER if router else 0)
    message = _MESSAGE.pack(NEIGHBOUR_ADVERTISEMENT, 0, 0, flags << 24, address.packed)
    return _frame(own_mac, address, ALL_NODES, message + struct.pack("!BB6s", _OPTION_TARGET_MAC, 1, own_mac))


def parse_advertisement(message: bytes) -> Advertisement | None:
    """The advertisement in an ICMPv6 message (without IPv6 header); ``None`` when it is anything else."""
    if len(message) < _MESSAGE.size:
        return None
    kind, code, _checksum, _flags, target = _MESSAGE.unpack_from(message)
    if kind != NEIGHBOUR_ADVERTISEMENT or code != 0:
        return None
    mac = None
    at = _MESSAGE.size
    while at + 2 <= len(message):
        option, length = message[at], message[at + 1] * 8
        if length == 0 or at + length > len(message):
            return None
        if option == _OPTION_TARGET_MAC and length == 8:
            mac = message[at + 2 : at + 8]
        at += length
    return Advertisement(IPv6Address(target), mac)


def checksum(source: IPv6Address, destination: IPv6Address, message: bytes) -> int:
    """The ICMPv6 checksum of ``message`` whose own checksum field is zero (RFC 4443, 2.3; RFC 8200, 8.1)."""
    covered = source.packed + destination.packed + struct.pack("!II", len(message), _ICMPV6) + message
    if len(covered) % 2:
        covered += b"\0"
    total: int = sum(struct.unpack(f"!{len(covered) // 2}H", covered))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _frame(own_mac: bytes, source: IPv6Address, destination: IPv6Address, message: bytes) -> bytes:
    """A multicast Ethernet frame with ``message``, its checksum put in."""
    code = struct.pack("!H", checksum(source, destination, message))
    header = _IPV6.pack(6 << 28, len(message), _ICMPV6, _HOP_LIMIT, source.packed, destination.packed)
    ethernet = _ETHERNET.pack(b"\x33\x33" + destination.packed[12:], own_mac, ETHERTYPE_IPV6)
    return ethernet + header + message[:2] + code + message[4:]
