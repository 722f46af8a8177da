"""Takes the module's virtual addresses off this node, for the warden (rtnetlink(7)).

The agent adds them, renews and removes them; here they are only taken away, when the agent may be dead or frozen. An
address without an end of life is never one of ours: it is left where it is. Talking to the kernel may take long, since
a lock of its whole network is needed: so a thread of its own does it, and nobody has to wait for its end.
"""

import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from queue import SimpleQueue
from typing import Final

from manager import netlink_messages
from manager.model.replicator_spec import SpecAddress

_ADDRESS: Final = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, interface
_FLAGS: Final = struct.Struct("=I")
_NEW_ADDRESS: Final = 20
_DELETE_ADDRESS: Final = 21
_GET_ADDRESS: Final = 22
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_FLAGS: Final = 8
_PERMANENT: Final = 0x80
"""IFA_F_PERMANENT, linux/if_addr.h: it has no end of life."""
_MOST_BYTES: Final = 1 << 16
ANSWER_SECONDS: Final = 1.0
"""How long an answer of the kernel is waited for."""
ROUNDS: Final = 3
"""How often it is looked for more: others may change the addresses meanwhile, and the agent add one again."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """An address that an interface has."""

    index: int
    """Of the interface."""
    family: int
    address: bytes
    prefix_length: int
    permanent: bool


def parse(datagram: bytes) -> tuple[list[Assigned], bool]:
    """The addresses that an answer of the kernel names, and whether it is the last. Raises OSError: what it says."""
    found: list[Assigned] = []
    for kind, body in netlink_messages.messages(datagram):
        if kind == netlink_messages.DONE:
            return found, True
        if kind == netlink_messages.ERROR:
            code = netlink_messages.error_code(body)
            if code:
                raise OSError(code, os.strerror(code))
            return found, True
        if kind == _NEW_ADDRESS:
            found.append(_assigned(body))
    return found, False


def _assigned(body: bytes) -> Assigned:
    family, prefix_length, flags, _, index = _ADDRESS.unpack_from(body)
    attributes = netlink_messages.attributes(body[_ADDRESS.size :])
    if _IFA_FLAGS in attributes:
        (flags,) = _FLAGS.unpack(attributes[_IFA_FLAGS])  # all of them; the header has room for eight
    # Of a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL ours.
    address = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
    return Assigned(index, family, address, prefix_length, bool(flags & _PERMANENT))


def _deletion(assigned: Assigned) -> bytes:
    head = _ADDRESS.pack(assigned.family, assigned.prefix_length, 0, 0, assigned.index)
    local = netlink_messages.attribute(_IFA_LOCAL, assigned.address)
    return netlink_messages.message(_DELETE_ADDRESS, netlink_messages.ACKNOWLEDGE, head + local)


def remove_addresses(wanted: Sequence[SpecAddress]) -> list[str]:
    """Removes those of ``wanted`` that are there; returns what failed, in words. Blocks."""
    failures: list[str] = []
    try:
        with netlink_messages.open_socket(socket.NETLINK_ROUTE, ANSWER_SECONDS) as kernel:
            for _ in range(ROUNDS):
                failures = []
                present = [one for one in _list(kernel) if any(_is(one, address) for address in wanted)]
                if not present:
                    return []
                for one in present:
                    failures += _remove(kernel, one)
    except OSError as error:
        failures.append(f"addresses: {error.strerror or error}")
    return failures


def _list(kernel: socket.socket) -> list[Assigned]:
    everything = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    kernel.send(netlink_messages.message(_GET_ADDRESS, netlink_messages.DUMP, everything))
    found: list[Assigned] = []
    last = False
    while not last:
        more, last = parse(kernel.recv(_MOST_BYTES))
        found += more
    return found


def _remove(kernel: socket.socket, assigned: Assigned) -> list[str]:
    kernel.send(_deletion(assigned))
    try:
        parse(kernel.recv(_MOST_BYTES))
    except TimeoutError:
        raise  # what comes next on this socket may be the answer to this
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):  # somebody else was faster
            return [f"address {ip_address(assigned.address)}: {error.strerror}"]
    return []


def _is(assigned: Assigned, wanted: SpecAddress) -> bool:
    if assigned.permanent or assigned.address != ip_address(wanted.ip).packed:
        return False
    return not wanted.interface or wanted.interface == _name(assigned.index)


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # it is gone, and its addresses with it
        return ""


class AddressRemover:
    """Removes one module's addresses when told, in a thread of its own."""

    def __init__(
        self,
        addresses: Sequence[SpecAddress],
        remove: Callable[[Sequence[SpecAddress]], list[str]] = remove_addresses,
    ) -> None:
        self._addresses = tuple(addresses)
        self._remove = remove
        self._begin: SimpleQueue[bool] = SimpleQueue()
        self._done = threading.Event()
        self._failures: list[str] = []

    def start(self) -> None:
        """Makes the thread, so that none has to be made when it is needed."""
        if self._addresses:
            threading.Thread(target=self._serve, name="addresses", daemon=True).start()
        else:
            self._done.set()

    def begin(self) -> None:
        """Begins to remove them."""
        if self._addresses:
            self._done.clear()
            self._begin.put(True)

    def wait(self, seconds: float) -> bool:
        """Waits for the end of what was begun, so long at the most; whether it came."""
        return self._done.wait(seconds)

    @property
    def failures(self) -> list[str]:
        """What failed of it, in words; read it after its end."""
        return self._failures if self._done.is_set() else ["addresses: the kernel does not answer"]

    def stop(self) -> None:
        """Ends the thread, once it has done what it does; nobody waits for that."""
        self._begin.put(False)

    def _serve(self) -> None:
        while self._begin.get():
            self._failures = self._remove(self._addresses)
            self._done.set()
