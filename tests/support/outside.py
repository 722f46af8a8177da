"""What of a lab's network is to be seen outside of it: frames with its addresses, on any link of this namespace."""

import contextlib
import ctypes
import socket
import struct
import threading
from collections.abc import Iterator

_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD = 0x30, 0x28, 0x20
_AND, _EQUAL, _RETURN = 0x54, 0x15, 0x06
_NETWORKS = (0x0A4D0000, 0x0A4E0000)
"""10.77.0.0/16 and 10.78.0.0/16."""
_PREFIXES = (0xFD77, 0xFD78)
_WHOLE = 0xFFFF
_FRAGMENTATION_NEEDED = (3, 4)
"""ICMP's type and code."""
_LEAST_MTU = 68

_Step = tuple[int, int, int, int]
"""Code, how many steps on if it is so, and if not, and the constant (linux/filter.h)."""


@contextlib.contextmanager
def listening() -> Iterator[list[bytes]]:
    """The packets that have been seen so far, each from its IP header on."""
    seen: list[bytes] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as receiving:
        steps = _steps()
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
        attached = struct.pack("HL", len(steps), ctypes.addressof(program))
        receiving.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
        receiving.setblocking(False)
        # What came before the filter was there.
        with contextlib.suppress(BlockingIOError):
            while True:
                receiving.recv(_WHOLE)
        receiving.settimeout(0.1)
        over = threading.Event()
        thread = threading.Thread(target=_listen, args=(receiving, seen, over))
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


def _listen(receiving: socket.socket, seen: list[bytes], over: threading.Event) -> None:
    while True:
        # Before it waits: what came while this thread had no turn, after its wait was over, is still to be read.
        is_last = over.is_set()
        try:
            packet = receiving.recv(_WHOLE)
        except TimeoutError:
            if is_last:
                return
            continue
        if not is_of_a_vanished_device(packet):
            seen.append(packet)


def is_of_a_vanished_device(packet: bytes) -> bool:
    """An ICMP error that the kernel gives rise to, for what a node was about to send when its namespace was removed.

    Its route leads to the kernel's own device for such, then, which is of this namespace and has the least MTU there is
    (``blackhole_netdev``, ETH_MIN_MTU in Linux: net/core/dst.c, drivers/net/loopback.c).
    """
    header = (packet[0] & 0x0F) * 4
    error = packet[header : header + 8]
    is_icmp_v4 = packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_ICMP and len(error) == 8
    return is_icmp_v4 and (error[0], error[1], int.from_bytes(error[6:8])) == (*_FRAGMENTATION_NEEDED, _LEAST_MTU)


def _steps() -> list[_Step]:
    """The kernel's own: what other tests send on this machine must not cost anything here."""
    four = [_any_of(_LOAD_WORD, offset, 0xFFFF0000, _NETWORKS) for offset in (12, 16)]
    six = [_any_of(_LOAD_HALF, offset, 0xFFFF, _PREFIXES) for offset in (8, 24)]
    refused: _Step = (_RETURN, 0, 0, 0)
    of_four = [*four[0], *four[1], refused]
    steps: list[_Step] = [(_LOAD_BYTE, 0, 0, 0), (_AND, 0, 0, 0xF0), (_EQUAL, 0, len(of_four), 0x40), *of_four]
    # Anything else, as ARP, has no addresses where IPv6's are, or none of these.
    steps += [*six[0], *six[1], refused]
    return steps


def _any_of(load: int, offset: int, mask: int, wanted: tuple[int, int]) -> list[_Step]:
    """Takes the packet when what stands at ``offset`` is one of ``wanted``; else goes on."""
    first, second = wanted
    return [
        (load, 0, 0, offset),
        (_AND, 0, 0, mask),
        (_EQUAL, 1, 0, first),
        (_EQUAL, 0, 1, second),
        (_RETURN, 0, 0, _WHOLE),
    ]
