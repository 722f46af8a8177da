"""ARP frames on Ethernet for IPv4: bytes and objects, no sockets.

Sources: RFC 826 (the packet), RFC 5227 (probe and announcement).
"""

import enum
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

ETHERTYPE_ARP = 0x0806
BROADCAST_MAC = b"\xff" * 6
NO_MAC = b"\0" * 6
NO_ADDRESS = IPv4Address(0)

_ETHERNET = struct.Struct("!6s6sH")
_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_HARDWARE_ETHERNET = 1
_PROTOCOL_IPV4 = 0x0800
_LEAST_FRAME = 60
"""Bytes of an Ethernet frame without its check sequence; shorter ones are padded."""


class Operation(enum.IntEnum):
    """What an ARP packet is."""

    REQUEST = 1
    REPLY = 2


@dataclass(frozen=True, slots=True)
class ArpPacket:
    """An ARP packet for IPv4 on Ethernet."""

    operation: Operation
    sender_mac: bytes
    sender_ip: IPv4Address
    target_mac: bytes
    target_ip: IPv4Address


def probe(own_mac: bytes, address: IPv4Address) -> bytes:
    """The frame that asks whether anyone has ``address`` and teaches no one anything (RFC 5227, 2.1.1)."""
    return frame(own_mac, ArpPacket(Operation.REQUEST, own_mac, NO_ADDRESS, NO_MAC, address))


def announcements(own_mac: bytes, address: IPv4Address) -> tuple[bytes, bytes]:
    """The frames that tell everyone who has ``address``: as a request (RFC 5227, 2.3), and as a reply.

    Both, because some neighbours learn from the one only and some from the other.
    """
    request = ArpPacket(Operation.REQUEST, own_mac, address, NO_MAC, address)
    reply = ArpPacket(Operation.REPLY, own_mac, address, BROADCAST_MAC, address)
    return frame(own_mac, request), frame(own_mac, reply)


def frame(own_mac: bytes, packet: ArpPacket) -> bytes:
    """``packet`` as a broadcast Ethernet frame of ``own_mac``."""
    body = _PACKET.pack(
        _HARDWARE_ETHERNET,
        _PROTOCOL_IPV4,
        6,
        4,
        packet.operation,
        packet.sender_mac,
        packet.sender_ip.packed,
        packet.target_mac,
        packet.target_ip.packed,
    )
    return (_ETHERNET.pack(BROADCAST_MAC, own_mac, ETHERTYPE_ARP) + body).ljust(_LEAST_FRAME, b"\0")


def parse(received: bytes) -> ArpPacket | None:
    """The packet in an Ethernet frame; ``None`` when it is anything else."""
    if len(received) < _ETHERNET.size + _PACKET.size:
        return None
    if _ETHERNET.unpack_from(received)[2] != ETHERTYPE_ARP:
        return None
    hardware, protocol, mac_length, ip_length, operation, *ends = _PACKET.unpack_from(received, _ETHERNET.size)
    if (hardware, protocol, mac_length, ip_length) != (_HARDWARE_ETHERNET, _PROTOCOL_IPV4, 6, 4):
        return None
    if operation not in (Operation.REQUEST, Operation.REPLY):
        return None
    sender_mac, sender_ip, target_mac, target_ip = ends
    return ArpPacket(Operation(operation), sender_mac, IPv4Address(sender_ip), target_mac, IPv4Address(target_ip))


def holder(received: bytes, own_mac: bytes, address: IPv4Address) -> bytes | None:
    """The MAC of another station that shows in this frame that it has ``address``; ``None``: it does not show that."""
    packet = parse(received)
    if packet is None or packet.sender_ip != address or packet.sender_mac == own_mac:
        return None
    return packet.sender_mac
