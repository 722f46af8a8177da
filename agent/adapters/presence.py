"""Asks another machine at all its addresses whether it is there: whatever comes back from it says that it is.

Three ways at once for each address, since each may be filtered: an ICMP echo, and any ICMP message from that address is
an answer; a TCP connection to a port, which a machine that runs takes or refuses; and where the address is on a link of
this node, the link itself (ARP, neighbour discovery), which no filter of the other machine's keeps silent. The kernel's
own table of neighbours is not looked at: an entry may stand as reachable for half a minute after the machine is gone.

A router or switch that answers for others (proxy ARP) passes for the machine: it is then said to be there, which is the
safe side. That nothing comes back does not show that a machine is off.
"""

import asyncio
import contextlib
import errno
import os
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_interface

from agent.adapters import echo, neighbours
from agent.adapters.netlink import Assigned, Interface, IpAddress
from agent.adapters.wakes import Wakes
from manager.model.errors import DefiniteFailure
from manager.time_limit import time_limit

ASK_S = 2.0
"""How long an answer is waited for: the kernel itself needs up to three seconds to give a neighbour up, and a machine
that is there answers within a round trip."""
ECHOES = 4
_ECHO_GAP_S = ASK_S / ECHOES
_RECEIVED_MOST = 2048


@dataclass(frozen=True, slots=True)
class Presence:
    """What came of it."""

    answering: str
    """One address that answers, and how, in words; empty: none does."""
    untried: tuple[tuple[str, str], ...]
    """The addresses that could not be asked, or not in full, and why."""


class _Unasked(Exception):
    """Nothing could be sent this way."""


async def ask(
    addresses: Sequence[str], port: int, interfaces: Sequence[Interface], assigned: Sequence[Assigned]
) -> Presence:
    """Ask at all of ``addresses`` at once; takes about two seconds.

    Args:
        addresses: of the other machine. Those that this node has itself are not asked.
        port: one that the other machine may listen at.
        interfaces: this node's.
        assigned: this node's addresses.
    """
    answers = await asyncio.gather(*(_ask_at(a, port, interfaces, assigned) for a in addresses))
    found = next((answer.how for answer in answers if answer.how), "")
    return Presence(found, tuple((a.address, a.unasked) for a in answers if a.unasked))


@dataclass(frozen=True, slots=True)
class _Answer:
    address: str
    how: str = ""
    unasked: str = ""


async def _ask_at(text: str, port: int, interfaces: Sequence[Interface], assigned: Sequence[Assigned]) -> _Answer:
    try:
        address = ip_address(text)
    except ValueError:
        return _Answer(text, unasked="not an address")
    if address.is_loopback or any(a.address == address for a in assigned):
        return _Answer(text, unasked="this node's own")
    ways = [_echo(address), _connect(address, port)]
    link = _link_of(address, interfaces, assigned)
    if link is not None:
        ways.append(_neighbour(link, address))
    came = await asyncio.gather(*ways, return_exceptions=True)
    for one in came:
        if isinstance(one, BaseException) and not isinstance(one, _Unasked):
            raise one
    how = next((one for one in came if isinstance(one, str) and one), "")
    if how:
        return _Answer(text, f"{text} {how}")
    # A filter of this node's own tells of an echo that it holds back, and not of a connection.
    return _Answer(text, unasked=str(came[0]) if isinstance(came[0], _Unasked) else "")


def _link_of(address: IpAddress, interfaces: Sequence[Interface], assigned: Sequence[Assigned]) -> Interface | None:
    """The Ethernet of this node that ``address`` is on; ``None``: it is behind a router, or nowhere."""
    on = {a.index for a in assigned if address in ip_interface(f"{a.address}/{a.prefix_length}").network}
    return next((i for i in interfaces if i.index in on and i.ethernet and i.up and not i.loopback), None)


async def _neighbour(link: Interface, address: IpAddress) -> str:
    try:
        await neighbours.probe(link, address)
    except neighbours.AddressInUse as found:
        return f"answers on the link of {link.name} ({found.mac or 'it does not tell its MAC'})"
    except DefiniteFailure as failure:
        raise _Unasked(str(failure)) from None
    return ""


async def _echo(address: IpAddress) -> str:
    v4 = isinstance(address, IPv4Address)
    family, protocol = (socket.AF_INET, socket.IPPROTO_ICMP) if v4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    heard = asyncio.Event()
    try:
        with socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol) as asking:
            # Connected, it receives from that address only.
            asking.connect((str(address), 0))
            wakes = Wakes(asking, partial(_listen, asking, heard))
            try:
                answers = await _answers(asking, echo.request_4 if v4 else echo.request_6, heard)
            finally:
                wakes.close()
    except OSError as error:
        raise _Unasked(_words(error)) from None
    return "answers a ping" if answers else ""


async def _answers(asking: socket.socket, request: Callable[[int, int], bytes], heard: asyncio.Event) -> bool:
    """Raises OSError: nothing could be asked."""
    number = random.getrandbits(16)
    for sequence in range(ECHOES):
        # What the network says of the one before is no failure of this one.
        with contextlib.suppress(OSError) if sequence else contextlib.nullcontext():
            asking.send(request(number, sequence))
        if await _within(heard, _ECHO_GAP_S):
            return True
    return False


def _listen(asking: socket.socket, heard: asyncio.Event) -> None:
    try:
        asking.recv(_RECEIVED_MOST)
    except OSError:
        return  # The network says that it cannot be reached: no answer of its own.
    heard.set()


async def _within(heard: asyncio.Event, seconds: float) -> bool:
    try:
        async with time_limit(seconds):
            await heard.wait()
    except TimeoutError:
        return heard.is_set()
    return True


async def _connect(address: IpAddress, port: int) -> str:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as asking:
            code = asking.connect_ex((str(address), port))
            if code not in (0, errno.ECONNREFUSED, errno.EINPROGRESS):
                raise _Unasked(os.strerror(code))
            if code == errno.EINPROGRESS:
                code = await _came_of(asking)
    except OSError as error:  # As where this machine has no IPv6 at all.
        raise _Unasked(_words(error)) from None
    how = {0: "takes a connection", errno.ECONNREFUSED: "refuses a connection, as only a machine that runs does"}
    return how.get(code, "")


async def _came_of(asking: socket.socket) -> int:
    """The error with which a connection under way has ended; 0: it stands."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(asking, done.set)
    try:
        if not await _within(done, ASK_S):
            return errno.ETIMEDOUT
    finally:
        loop.remove_writer(asking)
    return asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _words(error: OSError) -> str:
    return error.strerror or str(error)
