"""Which slot a client's packet falls into: the same number that the kernel's rules come to. Pure.

nftables' ``jhash`` is the kernel's (include/linux/jhash.h) over the bytes of the expression, scaled to the slots by
reciprocal_scale: a multiplication, not a remainder (net/netfilter/nft_hash.c). In a concatenation each part is filled
with zeros to a multiple of four bytes. The kernel reads whole blocks as words of the machine: on machines of different
byte order the same client would fall into different slots; all nodes of a farm must have the same.
"""

import ipaddress
import struct
import zlib

from manager.model.config.farm_config import Affinity
from manager.model.farm import SLOTS

_INITIAL = 0xDEADBEEF
"""JHASH_INITVAL."""
_WORDS = struct.Struct("=III")
_LAST = struct.Struct("<III")
"""The last block is put together byte by byte, the lowest first, on every machine."""
_SEEDS = 1 << 31
"""nft takes a seed in JSON for a signed number of 32 bits."""


def seed_of(module_id: str) -> int:
    """What the hash begins with, in all of a module's rules, on all its nodes, as long as it has this id."""
    return zlib.crc32(module_id.encode()) % _SEEDS


def slot_of(client: str, port: int, affinity: Affinity, seed: int) -> int:
    """The slot of a packet that ``client`` sends from ``port``.

    Raises:
        ValueError: ``client`` is no IP address.
    """
    hashed = ipaddress.ip_address(client).packed
    if affinity is Affinity.CONNECTION:
        hashed += port.to_bytes(2, "big") + b"\0\0"
    return jhash(hashed, seed) * SLOTS >> 32


def jhash(key: bytes, initial: int) -> int:
    """The kernel's hash of ``key``, 32 bits."""
    a = b = c = (_INITIAL + len(key) + initial) & 0xFFFFFFFF
    at = 0
    while len(key) - at > _WORDS.size:
        a, b, c = _mixed(*_sums((a, b, c), _WORDS.unpack_from(key, at)))
        at += _WORDS.size
    if not key:
        return c
    return _final(*_sums((a, b, c), _LAST.unpack(key[at:].ljust(_LAST.size, b"\0"))))


def _sums(state: tuple[int, int, int], words: tuple[int, ...]) -> tuple[int, int, int]:
    a, b, c = ((part + word) & 0xFFFFFFFF for part, word in zip(state, words, strict=True))
    return a, b, c


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & 0xFFFFFFFF


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    """__jhash_mix: six times the same, with the three changing places."""
    for by in (4, 6, 8, 16, 19, 4):
        a = (a - c & 0xFFFFFFFF) ^ _rotated(c, by)
        c = c + b & 0xFFFFFFFF
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    """__jhash_final: seven times the same, with the three changing places."""
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotated(b, by) & 0xFFFFFFFF
        a, b, c = b, c, a
    return b
