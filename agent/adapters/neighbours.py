"""Asks the link who has an address, and tells it who has one now: ARP for IPv4, neighbour discovery for IPv6."""

import asyncio
import socket
import struct
from collections.abc import Callable, Collection
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from agent.adapters import arp, ndp
from agent.adapters.netlink import Interface, IpAddress
from agent.adapters.wakes import Wakes
from manager.model.errors import DefiniteFailure

PROBES = 3
PROBE_GAP_S = 0.1
"""Between probes, and after the last: seconds. RFC 5227 takes up to 7 s, which a take-over has not got; a
neighbour on the same link answers within a millisecond, and three are asked for the case that a frame is lost."""

_ICMPV6_FILTER = 1
"""ICMPV6_FILTER, linux/icmpv6.h: a bit that is set blocks that type."""
_RECEIVED_MOST = 2048


class AddressInUse(DefiniteFailure):
    """Another station on the link answers for the address."""

    def __init__(self, address: IpAddress, interface: str, mac: str) -> None:
        """``mac``: of the one that answered; empty: it did not say."""
        super().__init__(f"{address} on {interface} is in use by {mac or 'a station that does not tell its MAC'}")
        self.address = str(address)
        self.interface = interface
        self.mac = mac


async def probe(interface: Interface, address: IpAddress, own: Collection[bytes] = ()) -> None:
    """Returns when nobody on the link answered for ``address``; on what is not Ethernet, at once.

    ``own``: the MACs of this node's links. One that is in the same network as ``interface`` answers for all addresses
    of this node (Linux's ``arp_ignore`` is 0), and is nobody else.

    Raises:
        AddressInUse: somebody did.
        DefiniteFailure: the link cannot be asked (it is down, or gone).
    """
    if not interface.ethernet or interface.loopback:
        return
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    try:
        with _listener(interface, address) as listener, _sender(interface) as sender:
            wakes = Wakes(listener, partial(_heard, listener, _judge(interface, address), own, answered))
            try:
                holder = await _ask(sender, _question(interface, address), answered)
            finally:
                wakes.close()
    except OSError as error:
        raise DefiniteFailure(f"asking {interface.name} for {address}: {error}") from None
    if holder is not None:
        raise AddressInUse(address, interface.name, holder.hex(":"))


async def _ask(sender: socket.socket, question: bytes, answered: "asyncio.Future[bytes]") -> bytes | None:
    """The MAC of the holder, which may not say it; ``None``: nobody answered."""
    for _ in range(PROBES):
        sender.send(question)
        await asyncio.wait([answered], timeout=PROBE_GAP_S)
        if answered.done():
            return answered.result()
    return None


def announce(interface: Interface, address: IpAddress) -> None:
    """Tells the link once that ``address`` is here now; on what is not Ethernet, nothing.

    Raises:
        DefiniteFailure: the link took no frame (it is down, or gone).
    """
    if not interface.ethernet or interface.loopback:
        return
    if isinstance(address, IPv4Address):
        frames: tuple[bytes, ...] = arp.announcements(interface.mac, address)
    else:
        frames = (ndp.announcement(interface.mac, address, router=_forwards(interface.name)),)
    try:
        with _sender(interface) as sender:
            for frame in frames:
                sender.send(frame)
    except OSError as error:
        raise DefiniteFailure(f"announcing {address} on {interface.name}: {error}") from None


def _question(interface: Interface, address: IpAddress) -> bytes:
    if isinstance(address, IPv4Address):
        return arp.probe(interface.mac, address)
    return ndp.solicitation(interface.mac, address)


def _judge(interface: Interface, address: IpAddress) -> Callable[[bytes], bytes | None]:
    """What finds the holder's MAC in what the listener received; ``None``: it is no answer."""
    if isinstance(address, IPv4Address):
        return lambda frame: arp.holder(frame, interface.mac, address)
    return lambda message: _advertised(message, interface.mac, address)


def _advertised(message: bytes, own_mac: bytes, address: IPv6Address) -> bytes | None:
    advertisement = ndp.parse_advertisement(message)
    if advertisement is None or advertisement.target != address or advertisement.mac == own_mac:
        return None
    return advertisement.mac or b""


def _heard(
    listener: socket.socket,
    judge: Callable[[bytes], bytes | None],
    own: Collection[bytes],
    answered: "asyncio.Future[bytes]",
) -> None:
    try:
        received = listener.recv(_RECEIVED_MOST)
    except OSError:
        return  # The link went down: then the next send says so.
    mac = judge(received)
    if mac is not None and mac not in own and not answered.done():
        answered.set_result(mac)


def _sender(interface: Interface) -> socket.socket:
    # Protocol 0: it receives nothing.
    return _packet_socket(interface, 0)


def _listener(interface: Interface, address: IpAddress) -> socket.socket:
    if isinstance(address, IPv4Address):
        return _packet_socket(interface, arp.ETHERTYPE_ARP)
    # A raw ICMPv6 socket gets the advertisements only; a packet socket would get all the IPv6 traffic.
    listener = socket.socket(
        socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6
    )
    blocked = bytearray(b"\xff" * 32)
    blocked_words = list(struct.unpack("=8I", blocked))
    blocked_words[ndp.NEIGHBOUR_ADVERTISEMENT >> 5] &= ~(1 << (ndp.NEIGHBOUR_ADVERTISEMENT & 31))
    try:
        listener.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *blocked_words))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode())
    except OSError:
        listener.close()
        raise
    return listener


def _packet_socket(interface: Interface, ethertype: int) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        made.bind((interface.name, ethertype))
    except OSError:
        made.close()
        raise
    return made


def _forwards(interface: str) -> bool:
    """Whether this host is an IPv6 router on ``interface``."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{interface}/forwarding", encoding="ascii") as file:
            return file.read().strip() == "1"
    except FileNotFoundError:
        return False
