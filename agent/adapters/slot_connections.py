"""In which slots of a farm's address this node has TCP connections, and the end of those that nobody can reach.

A connection counts for as long as its other end would wait if nobody answered it any more: from the first segment that
was taken, to the last that is owed. Into which slot it falls is told from outside. What begins or ends during the look
may be seen or not.

*Measured*: 10,000 connections take 0.12 s of a processor, half of it for the slots. Those of other addresses cost next
to nothing: the kernel leaves them out.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.adapters import connections, routes
from agent.adapters.connections import Connection
from agent.adapters.deadlines import within
from agent.adapters.netlink import IpAddress
from manager.model.errors import DefiniteFailure

LOOK_S = 5.0
"""The longest that a look takes."""

SlotOf = Callable[[str, int], int]
"""The address and the port of the other end to the slot."""


@dataclass(frozen=True, slots=True)
class SharedPorts:
    """Ports of an address whose connections are shared alike."""

    first: int
    last: int
    slot_of: SlotOf


async def busy(address: IpAddress, slots: frozenset[int], shared: Sequence[SharedPorts]) -> frozenset[int]:
    """Those of ``slots`` in which there are connections to ``address``; looked for in a thread.

    Raises:
        DefiniteFailure: the kernel does not list them.
        IndefiniteFailure: it took too long.
    """
    what = f"listing the connections to {address}"
    try:
        return await within(LOOK_S, what, asyncio.to_thread(find_busy, address, slots, shared))
    except OSError as error:
        raise DefiniteFailure(f"{what}: {error}") from None


def find_busy(address: IpAddress, slots: frozenset[int], shared: Sequence[SharedPorts]) -> frozenset[int]:
    """As :func:`busy`. Blocks.

    Raises:
        OSError: the kernel does not list them, or does not answer.
    """
    found = {slot for _, slot in _in_slots(address, shared)} if slots else set()
    return slots & found


async def reset(address: IpAddress, slots: frozenset[int], shared: Sequence[SharedPorts], link: int) -> int:
    """Resets the connections to ``address`` in ``slots`` whose clients are reached by ``link``; returns how many.

    Those of this node's own, and of clients whose way to the address leads through it by another link, are left alone:
    nobody shares them. ``link``: an interface's index. In a thread: what begins after this has returned or raised is
    never reset, however late that thread is.

    Raises:
        DefiniteFailure: the kernel does not list or reset them.
        IndefiniteFailure: it took too long.
    """
    what = f"resetting the connections to {address} that nobody can reach"
    over = threading.Event()
    try:
        return await within(LOOK_S, what, asyncio.to_thread(reset_found, address, slots, shared, link, over.is_set))
    except OSError as error:
        raise DefiniteFailure(f"{what}: {error}") from None
    finally:
        over.set()


def reset_found(
    address: IpAddress, slots: frozenset[int], shared: Sequence[SharedPorts], link: int, is_over: Callable[[], bool]
) -> int:
    """As :func:`reset`. Blocks. ``is_over``: nobody waits for it any more.

    Raises:
        OSError: the kernel does not list or reset them, or does not answer.
    """
    found = [connection for connection, slot in _in_slots(address, shared) if slot in slots] if slots else []
    ways = routes.interfaces(address, {connection.peer for connection in found})
    if is_over():
        return 0  # What is found may have begun since then. What was found before is of before, whenever it is reset.
    return connections.destroy(c for c in found if ways.get(c.peer) == link)


def _in_slots(address: IpAddress, shared: Sequence[SharedPorts]) -> Iterator[tuple[Connection, int]]:
    """The connections at ports that are shared, each with its slot."""
    for connection in connections.listed(address):
        own, port = connection.ports
        rule = next((s for s in shared if s.first <= own <= s.last), None)
        if rule is not None:
            yield connection, rule.slot_of(str(connection.peer), port)
