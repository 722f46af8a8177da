"""The checksum of IP, ICMP, UDP and TCP (RFC 1071)."""

import struct


def checksum(message: bytes) -> int:
    """The Internet checksum of ``message``, whose own checksum field is zero."""
    padded = message + b"\0" * (len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
