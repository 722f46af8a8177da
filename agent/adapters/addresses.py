"""The virtual addresses of one module: added for as long as this node may serve, and no longer (S7).

Each has an end of life in the kernel, which drops it then whatever became of this process. The kernel counts that in
whole seconds and may be up to a second late. So the rest of the time is rounded *down*, and once its fraction has
passed the same whole seconds are given again, which then end at the deadline itself: a process that runs keeps the
address to the deadline, one that is frozen loses it up to a second before, and none has it longer than a second after.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any

from agent.adapters import connections, neighbours
from agent.adapters.host import now_ns
from agent.adapters.links import LinkWatch
from agent.adapters.marks import Marks
from agent.adapters.netlink import Assigned, IpAddress, Kernel, Netlink, macs_of
from agent.adapters.placement import Placed, place
from manager.model.config import AddressConfig
from manager.model.errors import ConfigError, DefiniteFailure, IndefiniteFailure, MirrorfarmError

SECOND_NS = 1_000_000_000
LONGEST_LIFE_S = 86_400
"""Far below the kernel's word for "for ever" (2**32 - 1)."""
STALL_NS = SECOND_NS // 2
"""A call that took longer may have been frozen on its way to the kernel: its life is then counted from too late."""
TOP_UP_EARLY_NS = SECOND_NS // 20
"""How much before the fraction has passed the same seconds are given again, so that they are still whole."""
ANNOUNCE_AT_S = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 25.0, 35.0, 45.0, 60.0)
"""When an address is announced again, after the first time; seconds."""
AFTER_STALL_S = 1.0
"""Who stood still may have lost the addresses to another node meanwhile: it is told so before it announces them."""

Clock = Callable[[], int]


def lifetime(remaining_ns: int) -> tuple[int, int]:
    """The whole seconds to give an address now, and the nanoseconds after which to give the same again.

    0 seconds: there is not one whole second left, and no life that ends in time. 0 nanoseconds: they reach far enough.
    """
    seconds = max(0, min(remaining_ns // SECOND_NS, LONGEST_LIFE_S))
    return seconds, max(0, remaining_ns - seconds * SECOND_NS - TOP_UP_EARLY_NS) if seconds else 0


class VirtualAddresses:
    """The addresses of one module. One call at a time; :meth:`drop` may come at any moment."""

    def __init__(
        self,
        wanted: Sequence[AddressConfig],
        netlink: Netlink,
        links: LinkWatch,
        marks: Marks,
        on_trouble: Callable[[MirrorfarmError], None],
        clock: Clock = now_ns,
        *,
        stays: bool = True,
    ) -> None:
        """``on_trouble`` is told of what fails between calls: a later life, an announcement.

        ``stays``: on a link that does as well as another one that is the right one by now.
        """
        self._wanted = tuple(wanted)
        self._netlink = netlink
        self._links = links
        self._marks = marks
        self._on_trouble = on_trouble
        self._clock = clock
        self._stays = stays
        self._placed: tuple[Placed, ...] = ()
        self._astray = False
        """One is to go to another link, if there is any."""
        self._macs: frozenset[bytes] = frozenset()
        """Of this node's links."""
        self._loopbacks: frozenset[int] = frozenset()
        self._deadline_ns = 0
        self._held = False
        self._top_up: asyncio.TimerHandle | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The addresses, each with its prefix length."""
        return tuple(w.cidr for w in self._wanted)

    async def probe(self) -> None:
        """Asks the link for those addresses that want it; about 0.3 s when nobody answers.

        Raises:
            AddressInUse: another station answered.
            ConfigError: an address has no interface.
            DefiniteFailure, IndefiniteFailure: the link or the kernel could not be asked.
        """
        await self._place()
        asked = (neighbours.probe(p.interface, p.address, self._macs) for p in self._placed if p.wanted.probe)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def add(self, deadline_ns: int, *, probed: bool = False) -> None:
        """Probes, adds all addresses until ``deadline_ns`` and announces them.

        ``probed``: it was just done, or is not to be: a station whose place this one takes may answer yet.
        All or none: after a failure, none of them is left.

        Raises:
            AddressInUse: another station answered for one.
            ConfigError: an address has no interface.
            DefiniteFailure: the deadline is less than a second away, the kernel refused, or an address is there and
                is not ours.
            IndefiniteFailure: the kernel did not answer.
        """
        await (self._place() if probed else self.probe())
        present = await self._netlink.addresses()
        for placed in self._placed:
            foreign = next((a for a in present if a.address == placed.address and not self._marks.ours(a)), None)
            if foreign is not None:
                raise DefiniteFailure(f"{placed.address} is configured on this node already, not by Mirrorfarm")
        self._held = True
        self._links.listen(self._came_up)
        try:
            await self._extend(deadline_ns)
        except MirrorfarmError:
            with contextlib.suppress(MirrorfarmError):  # The first failure is the one to tell of.
                await self.drop()
            raise

    async def adopt(self, deadline_ns: int) -> tuple[str, ...]:
        """Takes over, without probing, what a former agent added; returns those that were gone, and are added.

        Raises:
            As :meth:`add`, AddressInUse excepted.
        """
        await self._place()
        self._held = True
        self._links.listen(self._came_up)
        return await self._extend(deadline_ns)

    async def renew(self, deadline_ns: int) -> tuple[str, ...]:
        """Gives all addresses the life until ``deadline_ns``; returns those that were gone, and are added again.

        Less than a second before the deadline nothing is changed: the life given last ends before it.

        Raises:
            ConfigError: the link of an address is gone; once it is there again, the next call adds the address there.
            DefiniteFailure: they are not held, or the kernel refused.
            IndefiniteFailure: the kernel did not answer.
        """
        if not self._held:
            raise DefiniteFailure("the addresses are not held")
        if lifetime(deadline_ns - self._clock())[0] == 0:
            return ()
        try:
            again = await self._extend(deadline_ns)
        except DefiniteFailure:
            # A link that was made anew, as a restart of the network does it, has another index.
            former = self._placed
            await self._place()
            if self._placed == former or not self._held:
                raise
            return await self._extend(deadline_ns)
        return (*again, *await self._follow(deadline_ns)) if self._astray else again

    async def _follow(self, deadline_ns: int) -> tuple[str, ...]:
        """Goes where the node's own address has gone: to a bridge or bond that its link has become a port of."""
        former = {(p.interface.index, p.address) for p in self._placed}
        try:
            await self._place()
        except ConfigError:
            return ()  # It is nowhere, as in the middle of a restart of the network: they stay until it is.
        if former == {(p.interface.index, p.address) for p in self._placed} or not self._held:
            return ()
        return await self._extend(deadline_ns)

    async def missing(self) -> tuple[str, ...]:
        """Those of the addresses that are not on their interface now.

        Raises:
            ConfigError: an address has no interface.
            DefiniteFailure, IndefiniteFailure: the kernel could not be asked.
        """
        if not self._placed:
            await self._place()
        present = await self._netlink.addresses()
        return tuple(str(p.address) for p in self._placed if not any(p.is_at(a) for a in present))

    async def drop(self) -> int:
        """Removes the addresses and resets their connections; returns how many. Does no harm when none is held.

        Raises:
            DefiniteFailure, IndefiniteFailure: the kernel refused or did not answer; their lives end all the same.
        """
        if self._held:
            self._links.unlisten(self._came_up)
        self._held = False
        self._cancel_top_up()
        for task in self._tasks.values():
            task.cancel()
        return await self._netlink.call("removing the addresses", partial(_remove, self._wanted, self._marks))

    async def _place(self) -> None:
        interfaces = await self._netlink.interfaces()
        assigned = await self._netlink.addresses()
        self._placed = place(self._wanted, interfaces, assigned, self._marks)
        self._macs = macs_of(interfaces)
        self._loopbacks = frozenset(i.index for i in interfaces if i.loopback)

    async def _extend(self, deadline_ns: int) -> tuple[str, ...]:
        # Before the call: a top-up that is due meanwhile would come after it, with the life that this one replaces.
        self._deadline_ns = deadline_ns
        self._cancel_top_up()
        work = partial(_put, self._placed, self._loopbacks, deadline_ns, self._marks, self._clock, self._stays)
        new, self._astray = await self._netlink.call("adding the addresses", work)
        if not self._held:
            return ()
        _, again_after_ns = lifetime(deadline_ns - self._clock())
        if again_after_ns and deadline_ns == self._deadline_ns:
            self._cancel_top_up()
            loop = asyncio.get_running_loop()
            self._top_up = loop.call_later(again_after_ns / SECOND_NS, self._start, "top up", self._extend_again)
        if new:
            self._announce()
            self._start("announce", self._announce_later)
        return tuple(str(p.address) for p in new)

    async def _extend_again(self) -> None:
        if self._held and lifetime(self._deadline_ns - self._clock())[0]:
            await self._extend(self._deadline_ns)

    def _cancel_top_up(self) -> None:
        if self._top_up is not None:
            self._top_up.cancel()
            self._top_up = None

    def _came_up(self, index: int) -> None:
        """A link is back: IPv6 addresses have gone with it, and its switch may have learnt another way."""
        if index == 0 or any(p.interface.index == index for p in self._placed):
            self._start("restore", self._restore)

    async def _restore(self) -> None:
        await self._place()  # Its MAC may be another.
        await self._extend_again()
        if self._held:
            self._announce()
            self._start("announce", self._announce_later)

    def _announce(self) -> None:
        if self._clock() >= self._deadline_ns:
            return  # As at a link's return after a freeze: the kernel has dropped them, and another node may have them.
        for placed in self._placed:
            try:
                neighbours.announce(placed.interface, placed.address)
            except DefiniteFailure as failure:
                # The link is down or gone. The others are announced all the same, and this one when it is back.
                self._on_trouble(failure)

    async def _announce_later(self) -> None:
        passed = 0.0
        for at in ANNOUNCE_AT_S:
            due_ns = self._clock() + round((at - passed) * SECOND_NS)
            await asyncio.sleep(at - passed)
            if self._clock() - due_ns > STALL_NS:
                await asyncio.sleep(AFTER_STALL_S)
            passed = at
            self._announce()

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` as a task in place of the former one of that name."""
        former = self._tasks.get(name)
        if former is not None:
            former.cancel()
        self._tasks[name] = asyncio.get_running_loop().create_task(self._reporting(work))

    async def _reporting(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except MirrorfarmError as failure:
            self._on_trouble(failure)


def _put(
    placed: Sequence[Placed],
    loopbacks: frozenset[int],
    deadline_ns: int,
    marks: Marks,
    clock: Clock,
    stays: bool,
    kernel: Kernel,
) -> tuple[tuple[Placed, ...], bool]:
    """Give each address its life until the deadline, on its link and on no other. In netlink's thread.

    What is on the loopback is left there, as by :func:`_remove`.

    Returns those that were not there, and whether one is to go to another link, if there is any.
    """
    present = kernel.addresses()
    before = [a for a in present if marks.ours(a)]
    astray = any(_is_astray(p, present, marks, stays=stays) for p in placed)
    for p in placed:
        own = [a for a in present if a.index == p.interface.index and p.is_in(a) and not marks.ours(a)]
        if p.address.version == 4 and _keeps_secondaries(p.interface.name):
            _give_way(p, own, before, kernel)
        _put_one(p, deadline_ns, marks.protocol, clock, kernel, own)
    at = {p.address: p.interface.index for p in placed}
    for a in before:
        if a.address in at and a.index not in {at[a.address], *loopbacks}:
            kernel.remove(a.index, a.address, a.prefix_length)
    new = tuple(p for p in placed if not any(p.is_at(a) for a in before))
    if new:
        marks.note(a for a in kernel.addresses() if any(p.is_at(a) for p in new))
    return new, astray


def _is_astray(placed: Placed, present: Sequence[Assigned], marks: Marks, *, stays: bool) -> bool:
    """As :mod:`agent.adapters.placement` has it, by the addresses alone, which are listed anyway."""
    near = sorted((-a.prefix_length, a.index) for a in present if placed.is_in(a) and not marks.ours(a))
    right = [index for _, index in (near if stays else near[:1])]
    return not placed.wanted.interface and placed.interface.index not in right


def _put_one(
    placed: Placed, deadline_ns: int, protocol: int, clock: Clock, kernel: Kernel, own: Sequence[Assigned]
) -> None:
    """``own``: the node's own addresses there, of subnets that it is in."""
    index, length = placed.interface.index, placed.wanted.prefix_length
    # Of another length than the own address it would bring a route of its own, and be the source of what goes there.
    with_route = all(a.prefix_length == length for a in own)
    while True:
        asked_ns = clock()
        seconds, _ = lifetime(deadline_ns - asked_ns)
        if seconds == 0:
            raise DefiniteFailure(f"{placed.address}: its deadline is less than a second away, or past")
        kernel.put(index, placed.address, length, seconds, protocol, with_route=with_route)
        if clock() - asked_ns < STALL_NS:
            return
        if lifetime(deadline_ns - clock())[0] == 0:
            kernel.remove(index, placed.address, length)
            raise IndefiniteFailure(f"{placed.address}: this process stood still until its deadline was past")


def _keeps_secondaries(interface: str) -> bool:
    """Removing an IPv4 address takes all others of its subnet along if it was the first, unless this is set: then True.

    Where sysctls cannot be written the next renewal adds what went along.
    """
    try:
        with open(f"/proc/sys/net/ipv4/conf/{interface}/promote_secondaries", "r+", encoding="ascii") as file:
            if file.read().strip() == "0":
                file.seek(0)  # What is written behind the beginning is ignored (sysctl_writes_strict).
                file.write("1")
    except OSError:
        return False
    return True


def _give_way(placed: Placed, own: Sequence[Assigned], before: Sequence[Assigned], kernel: Kernel) -> None:
    """Removes it, to be put again, where an own address of the node's has come to stand behind it.

    The first one of a subnet is the source of all that the node itself sends there. Its own is first, unless it was
    away for a moment (a restart of the network, DHCP): then etcd and the other nodes would be asked from an address
    that leaves with the module, and that no certificate of etcd's has.
    """
    length = placed.wanted.prefix_length
    is_first = any(placed.is_at(a) and not a.secondary for a in before)
    if is_first and any(a.secondary and a.prefix_length == length for a in own):
        kernel.remove(placed.interface.index, placed.address, length)


def _remove(wanted: Sequence[AddressConfig], marks: Marks, kernel: Kernel) -> int:
    """Removes what is ours of ``wanted``, on whichever link; returns the connections reset. In netlink's thread.

    What is on the loopback is none of it, unless it is wanted there: a farm holds its addresses there, directing or not
    (:mod:`agent.adapters.held_addresses`).
    """
    by_address = {ip_address(w.ip): w for w in wanted}
    loopbacks = {i.index: i.name for i in kernel.interfaces() if i.loopback}
    ours = [
        a for a in kernel.addresses()
        if a.address in by_address and marks.ours(a)
        and (a.index not in loopbacks or by_address[a.address].interface == loopbacks[a.index])
    ]  # fmt: skip
    return remove_all(ours, lambda address: by_address[address].reset_connections, kernel)


def remove_all(assigned: Sequence[Assigned], resets: Callable[[IpAddress], bool], kernel: Kernel) -> int:
    """Removes them; returns the connections reset. In netlink's thread.

    Connections are reset before, while the clients can still be told, and after: some may have come in between.

    Raises:
        DefiniteFailure: all are removed, not all connections are reset.
    """
    total = 0
    trouble: OSError | None = None
    for a in assigned:
        for remove in (False, True):
            if remove:
                kernel.remove(a.index, a.address, a.prefix_length)
            try:
                total += connections.reset(a.address) if resets(a.address) else 0
            except OSError as error:
                trouble = error  # All are removed first.
    if trouble is not None:
        raise DefiniteFailure(f"the addresses are removed, their connections are not reset: {trouble}")
    return total


async def remove_leftovers(netlink: Netlink, marks: Marks, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Removes what a former agent added, ``keep`` (addresses) excepted, and resets its connections.

    Returns what it removed.

    Raises:
        DefiniteFailure, IndefiniteFailure: the kernel refused or did not answer.
    """
    kept = {ip_address(k) for k in keep}
    return await _remove_ours(netlink, marks, lambda address: address not in kept)


async def remove_named(netlink: Netlink, marks: Marks, named: Collection[str]) -> tuple[str, ...]:
    """As :func:`remove_leftovers`, of ``named`` alone, on whichever interfaces they are."""
    these = {ip_address(n) for n in named}
    return await _remove_ours(netlink, marks, lambda address: address in these)


async def _remove_ours(netlink: Netlink, marks: Marks, chosen: Callable[[IpAddress], bool]) -> tuple[str, ...]:
    left = [a for a in await netlink.addresses() if marks.ours(a) and chosen(a.address)]
    await netlink.call("removing addresses left over", partial(remove_all, left, lambda _: True))
    return tuple(f"{a.address}/{a.prefix_length}" for a in left)
