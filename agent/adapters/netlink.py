"""Interfaces and their addresses in the kernel, through pyroute2.

pyroute2 0.9 runs its sockets on an asyncio loop and cannot use uvloop's, which takes no netlink socket. So one
thread of its own, with a selector loop of its own, makes all calls, in the order in which they were asked for: what
was asked for first cannot take effect after what was asked for later, even when a caller no longer waits for it.
"""

import asyncio
import errno
import ipaddress
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDecodeError, NetlinkError

from agent.adapters.deadlines import within
from manager.model.errors import DefiniteFailure, IndefiniteFailure, MirrorfarmError

T = TypeVar("T")
IpAddress = IPv4Address | IPv6Address

CALL_SECONDS = 3.0

_LOOPBACK = 0x8
"""IFF_LOOPBACK, linux/if.h."""
_LOWER_UP = 0x10000
_ETHERNET = 1
"""ARPHRD_ETHER, linux/if_arp.h."""
_PERMANENT = 0x80
"""IFA_F_PERMANENT, linux/if_addr.h."""
EVERYWHERE = 0
THIS_HOST = 254
"""RT_SCOPE_UNIVERSE and RT_SCOPE_HOST, linux/rtnetlink.h: how far an IPv4 address is of use as a source."""
_INTERRUPTED = 0x10
"""NLM_F_DUMP_INTR, linux/netlink.h."""
_ASKED_MOST = 10
_NODAD = 0x02
_SECONDARY = 0x01
_NOPREFIXROUTE = 0x200
_TEMPORARY, _OPTIMISTIC, _DADFAILED, _TENTATIVE = 0x01, 0x04, 0x08, 0x40
"""linux/if_addr.h; of an IPv4 address the first of these is another one."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface."""

    index: int
    name: str
    mac: bytes
    """Six bytes on Ethernet; else whatever the link has."""
    ethernet: bool
    loopback: bool
    up: bool
    """The link has a carrier."""
    enslaved: bool = False
    """It is a port of a bridge or bond, which has the addresses."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """An address that an interface has."""

    index: int
    address: IpAddress
    prefix_length: int
    protocol: int
    """IFA_PROTO: who added it; 0: unknown, or a kernel before 5.18."""
    permanent: bool
    """It has no end of life."""
    valid_s: int
    """Rest of its life, in seconds."""
    secondary: bool = False
    """Of IPv4: another address of its subnet came before it, and is the source of what this node sends there."""
    unfit: bool = False
    """Of IPv6: nobody could rely on it. It is a temporary one (RFC 8981) that ends within days; or it is not known yet
    that nobody else has it, or known that somebody has (RFC 4862, 5.4)."""


def macs_of(interfaces: Iterable[Interface]) -> frozenset[bytes]:
    """The MACs of those that have one."""
    return frozenset(i.mac for i in interfaces if i.mac)


class Kernel:
    """What runs in the thread: each method is one or a few netlink calls, synchronous."""

    def __init__(self) -> None:
        """The socket is made by the first call, in the thread."""
        self._route: Any = None

    @property
    def route(self) -> Any:
        """The socket; made anew after it failed."""
        if self._route is None:
            self._route = IPRoute(use_event_loop=asyncio.SelectorEventLoop())
        return self._route

    def close(self) -> None:
        """Give the socket back."""
        route, self._route = self._route, None
        if route is not None:
            route.close()

    def interfaces(self) -> list[Interface]:
        """All interfaces.

        Raises:
            DefiniteFailure: others change them all the time.
        """
        return [_interface(link) for link in self._listed(lambda: self.route.get_links())]

    def addresses(self) -> list[Assigned]:
        """All addresses of all interfaces. Raises as :meth:`interfaces`."""
        return [a for a in map(_assigned, self._listed(lambda: self.route.get_addr())) if a is not None]

    def _listed(self, ask: Callable[[], Iterable[Any]]) -> list[Any]:
        """One that was changed while the kernel gave it may lack what was there all the time, and says so itself."""
        for _ in range(_ASKED_MOST):
            found = list(ask())
            if not any(message["header"]["flags"] & _INTERRUPTED for message in found):
                return found
        raise DefiniteFailure(f"links or addresses were changed each of {_ASKED_MOST} times while they were listed")

    def put(
        self,
        index: int,
        address: IpAddress,
        prefix_length: int,
        valid_s: int,
        protocol: int,
        scope: int = EVERYWHERE,
        *,
        with_route: bool = True,
    ) -> None:
        """Add the address, or give it this rest of its life when it is there.

        ``with_route``: an IPv4 one brings the route to its subnet, if it is the first there, with itself as the source.

        An IPv6 one comes without duplicate address detection, which would keep it silent for a second, and
        "deprecated" from the start: it serves, but this node does not choose it as a source of its own.
        """
        v6 = address.version == 6
        self.route.addr(
            "replace",
            index=index,
            address=str(address),
            prefixlen=prefix_length,
            valid_lft=valid_s,
            preferred_lft=0 if v6 else valid_s,
            proto=protocol,
            # The scope of an IPv6 address lies in the address.
            **({"flags": _NODAD} if v6 else {"scope": scope, "flags": 0 if with_route else _NOPREFIXROUTE}),
        )

    def remove(self, index: int, address: IpAddress, prefix_length: int) -> None:
        """Remove the address; it may be gone already."""
        try:
            self.route.addr("del", index=index, address=str(address), prefixlen=prefix_length)
        except NetlinkError as error:
            if error.code not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise


def _interface(link: Any) -> Interface:
    mac = link.get_attr("IFLA_ADDRESS") or ""
    return Interface(
        index=link["index"],
        name=link.get_attr("IFLA_IFNAME"),
        mac=bytes.fromhex(mac.replace(":", "")),
        ethernet=link["ifi_type"] == _ETHERNET,
        loopback=bool(link["flags"] & _LOOPBACK),
        up=bool(link["flags"] & _LOWER_UP),
        enslaved=link.get_attr("IFLA_MASTER") is not None,
    )


def _assigned(message: Any) -> Assigned | None:
    # Of a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL ours.
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    if text is None:
        return None
    life = message.get_attr("IFA_CACHEINFO")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    address = ipaddress.ip_address(text)
    return Assigned(
        index=message["index"],
        address=address,
        prefix_length=message["prefixlen"],
        protocol=message.get_attr("IFA_PROTO") or 0,
        permanent=bool(flags & _PERMANENT),
        valid_s=life["ifa_valid"] if life else 0,
        secondary=address.version == 4 and bool(flags & _SECONDARY),
        unfit=address.version == 6 and _is_unfit(flags),
    )


def _is_unfit(flags: int) -> bool:
    return bool(flags & (_TEMPORARY | _DADFAILED)) or flags & (_TENTATIVE | _OPTIMISTIC) == _TENTATIVE


class Netlink:
    """The thread that talks to the kernel; one for an agent."""

    def __init__(self, call_seconds: float = CALL_SECONDS) -> None:
        """``call_seconds``: the deadline of each call."""
        self._seconds = call_seconds
        self._kernel = Kernel()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="netlink")

    async def call(self, what: str, work: Callable[[Kernel], T]) -> T:
        """What ``work`` returns, which runs in the thread; in its turn also where nobody waits for it any more.

        Else what is to be removed would stay, where another call has taken the thread's time.

        Raises:
            DefiniteFailure: the kernel refused.
            IndefiniteFailure: no answer in time, or the socket failed.
        """
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._translated, what, work)
        return await within(self._seconds, what, asyncio.shield(future))

    def _translated(self, what: str, work: Callable[[Kernel], T]) -> T:
        try:
            return work(self._kernel)
        except MirrorfarmError:
            raise
        except NetlinkError as error:
            raise DefiniteFailure(f"{what}: {error}") from None
        except (OSError, NetlinkDecodeError) as error:
            # A socket that failed once is in an unknown state; so is one of which an answer is not understood.
            self._kernel.close()
            raise IndefiniteFailure(f"{what}: {error}") from None

    async def interfaces(self) -> list[Interface]:
        """All interfaces."""
        return await self.call("listing the interfaces", Kernel.interfaces)

    async def addresses(self) -> list[Assigned]:
        """All addresses of all interfaces."""
        return await self.call("listing the addresses", Kernel.addresses)

    async def close(self) -> None:
        """End the thread, after what was asked for."""
        await self.call("closing netlink", Kernel.close)
        self._thread.shutdown(wait=False)
