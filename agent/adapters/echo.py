"""ICMP echo requests for IPv4 and IPv6: bytes, no sockets.

Sources: RFC 792 (echo), RFC 4443 (4.1, echo of ICMPv6).
"""

import struct

from manager.internet_checksum import checksum

ECHO_REQUEST_4 = 8
ECHO_REQUEST_6 = 128
_HEADER = struct.Struct("!BBHHH")
_BODY = b"mirrorfarm: are you there?"


def request_4(number: int, sequence: int) -> bytes:
    """An echo request for IPv4, with its checksum."""
    code = checksum(_HEADER.pack(ECHO_REQUEST_4, 0, 0, number, sequence) + _BODY)
    return _HEADER.pack(ECHO_REQUEST_4, 0, code, number, sequence) + _BODY


def request_6(number: int, sequence: int) -> bytes:
    """An echo request for IPv6; its checksum is the kernel's business (RFC 3542, 3.1)."""
    return _HEADER.pack(ECHO_REQUEST_6, 0, 0, number, sequence) + _BODY
