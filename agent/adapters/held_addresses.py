"""The addresses of one farm module, held by every one of its nodes: what is forwarded here for them is taken.

They are on the loopback, each alone in its subnet, and all links keep silent about them
(:mod:`agent.adapters.link_settings`): so a node that holds them answers the network for none. Which node answers, with
the address on its link, is another matter (:class:`agent.adapters.addresses.VirtualAddresses`); it may be this one too.

No lease ends them, since a node keeps its share with its lease or without. The end of life that they have in the kernel
is years away, and there for :class:`agent.adapters.marks.Marks`, which knows ours by having one at all. An IPv4
address has the scope of this host, so that the node chooses it as the source of nothing of its own; an IPv6 one is
"deprecated": it is chosen only where the node has no other one that reaches the destination.
"""

import contextlib
from collections.abc import Collection, Sequence
from functools import partial
from ipaddress import ip_address

from agent.adapters import addresses
from agent.adapters.link_settings import LinkSettings
from agent.adapters.marks import Marks
from agent.adapters.netlink import THIS_HOST, Assigned, Interface, IpAddress, Kernel, Netlink
from agent.adapters.placement import Placed, place
from manager.model.config import AddressConfig
from manager.model.errors import ConfigError, DefiniteFailure, MirrorfarmError

IPV6_SETTINGS = "/proc/sys/net/ipv6/conf"
LIFE_S = 10 * 365 * 86_400
"""Longer than any machine runs without a restart, and not the kernel's "for ever"."""


class HeldAddresses:
    """The addresses of one module. One call at a time."""

    def __init__(self, wanted: Sequence[AddressConfig], netlink: Netlink, settings: LinkSettings, marks: Marks) -> None:
        self._wanted = tuple(wanted)
        self._netlink = netlink
        self._settings = settings
        self._marks = marks

    async def hold(self) -> tuple[str, ...]:
        """Hold all; returns those that were not held yet: an agent that starts may find what its former one left.

        All or none: after a failure, none of them is left.

        Raises:
            ConfigError: an address has no link.
            DefiniteFailure: the kernel refused, or an address is there and is not ours.
            IndefiniteFailure: the kernel did not answer.
        """
        try:
            return await self.keep()
        except MirrorfarmError:
            with contextlib.suppress(MirrorfarmError):  # The first failure is the one to tell of.
                await self.release()
            raise

    async def keep(self) -> tuple[str, ...]:
        """Hold again what was taken from the node meanwhile, and have links keep silent that do not any more.

        For now and then while they are held, and for when a link has come up or is another one. A failure leaves
        what is held. Returns what had gone.

        Raises:
            As :meth:`hold`.
        """
        return await self._netlink.call(
            "holding the addresses", partial(_hold, self._wanted, self._settings, self._marks)
        )

    async def release(self) -> int:
        """Hold none any more, and reset their connections; returns how many. Does no harm when none is held.

        What of them is on a link is left there. A link for which it was the last gets its settings back.

        Raises:
            DefiniteFailure, IndefiniteFailure: the kernel refused or did not answer; what is left is removed when
                an agent starts.
        """
        work = partial(_release, self._wanted, self._settings, self._marks)
        return await self._netlink.call("releasing the addresses", work)


async def remove_leftovers(
    netlink: Netlink, settings: LinkSettings, marks: Marks, keep: Collection[str] = ()
) -> tuple[str, ...]:
    """As :func:`agent.adapters.addresses.remove_leftovers`, and gives links their settings back.

    Raises:
        DefiniteFailure, IndefiniteFailure: the kernel refused or did not answer.
    """
    removed = await addresses.remove_leftovers(netlink, marks, keep)
    await netlink.call("restoring the links' settings", lambda _: settings.release_others(keep))
    return removed


async def remove_named(
    netlink: Netlink, settings: LinkSettings, marks: Marks, named: Collection[str]
) -> tuple[str, ...]:
    """As :func:`remove_leftovers`, of ``named`` alone: what other modules add meanwhile is left alone."""
    removed = await addresses.remove_named(netlink, marks, named)
    await netlink.call("restoring the links' settings", lambda _: settings.release([ip_address(n) for n in named]))
    return removed


def _hold(wanted: Sequence[AddressConfig], settings: LinkSettings, marks: Marks, kernel: Kernel) -> tuple[str, ...]:
    """In netlink's thread, as one call: nothing of another module comes in between."""
    interfaces, present = kernel.interfaces(), kernel.addresses()
    placed, loopback = place(wanted, interfaces, present, marks), _loopback(interfaces)
    _refuse(placed, present, marks)
    _refuse_without_ipv6([p.address for p in placed], loopback.name)
    held = [Assigned(loopback.index, p.address, p.address.max_prefixlen, 0, False, LIFE_S) for p in placed]
    # A kernel without marks knows by this file alone that they are ours: it has them before the kernel does.
    marks.note(held)
    # First the silence: not for a moment may two nodes answer.
    if four := [p for p in placed if p.address.version == 4]:
        _silence(four, interfaces, settings)
    # What is there stays untouched: each change of an address is told to everyone who listens on this machine.
    there = {(a.index, a.address, a.prefix_length) for a in present if a.valid_s > LIFE_S // 2}
    new = [h for h in held if (h.index, h.address, h.prefix_length) not in there]
    for h in new:
        kernel.put(h.index, h.address, h.prefix_length, LIFE_S, marks.protocol, THIS_HOST)
    return tuple(str(h.address) for h in new)


def _silence(placed: Sequence[Placed], interfaces: Sequence[Interface], settings: LinkSettings) -> None:
    """Has their own links keep silent, and every other one: a second one may be on the same network, and would answer.

    Those of containers come and go: that one of them is gone meanwhile is no failure.
    """
    own = {p.interface.name for p in placed}
    others = {i.name for i in interfaces if i.ethernet and not i.loopback and not i.enslaved}
    failed = settings.silence(sorted(own | others), [p.address for p in placed])
    for link in sorted(own & failed.keys()):
        raise failed[link]


def _refuse(placed: Sequence[Placed], present: Sequence[Assigned], marks: Marks) -> None:
    for p in placed:
        if p.interface.loopback:
            raise ConfigError(f"address {p.wanted.ip}: interface: found {p.interface.name}; allowed: a link to others")
        if any(a.address == p.address and not marks.ours(a) for a in present):
            raise DefiniteFailure(f"{p.address} is configured on this node already, not by Mirrorfarm")


def _refuse_without_ipv6(of_module: Sequence[IpAddress], loopback: str) -> None:
    """The kernel itself would only say that it is not permitted."""
    six = next((a for a in of_module if a.version == 6), None)
    if six is None:
        return
    try:
        with open(f"{IPV6_SETTINGS}/{loopback}/disable_ipv6", encoding="ascii") as file:
            off = file.read().strip() != "0"
    except FileNotFoundError:
        off = True
    if off:
        raise DefiniteFailure(f"{six}: IPv6 is switched off on {loopback} (net.ipv6.conf.{loopback}.disable_ipv6)")


def _release(wanted: Sequence[AddressConfig], settings: LinkSettings, marks: Marks, kernel: Kernel) -> int:
    loopback, of_module = _loopback(kernel.interfaces()).index, {ip_address(w.ip) for w in wanted}
    held = [a for a in kernel.addresses() if a.index == loopback and a.address in of_module and marks.ours(a)]
    try:
        return addresses.remove_all(held, lambda _: True, kernel)
    finally:
        # Silent until it is gone, whatever became of its connections.
        settings.release(of_module - {a.address for a in kernel.addresses() if a.index == loopback and marks.ours(a)})


def _loopback(interfaces: Sequence[Interface]) -> Interface:
    found = next((i for i in interfaces if i.loopback), None)
    if found is None:
        raise DefiniteFailure("this node has no loopback")
    return found
