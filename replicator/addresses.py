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

from manager.model.replicator_spec import SpecAddress

_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ADDRESS: Final = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, interface
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct nlattr: length, type
_ERRNO: Final = struct.Struct("=i")
_FLAGS: Final = struct.Struct("=I")
_ERROR: Final = 2
_DONE: Final = 3
_NEW_ADDRESS: Final = 20
_DELETE_ADDRESS: Final = 21
_GET_ADDRESS: Final = 22
_REQUEST: Final = 0x1
_ACKNOWLEDGE: Final = 0x4
_DUMP: Final = 0x300
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
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size or at + length > len(datagram):
            break
        body = datagram[at + _HEADER.size : at + length]
        if kind == _DONE:
            return found, True
        if kind == _ERROR:
            (code,) = _ERRNO.unpack_from(body)
            if code:
                raise OSError(-code, os.strerror(-code))
            return found, True
        if kind == _NEW_ADDRESS:
            found.append(_assigned(body))
        at += (length + 3) & ~3
    return found, False


def _assigned(body: bytes) -> Assigned:
    family, prefix_length, flags, _, index = _ADDRESS.unpack_from(body)
    attributes: dict[int, bytes] = {}
    at = _ADDRESS.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        attributes[kind] = body[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    if _IFA_FLAGS in attributes:
        (flags,) = _FLAGS.unpack(attributes[_IFA_FLAGS])  # all of them; the header has room for eight
    # Of a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL ours.
    address = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
    return Assigned(index, family, address, prefix_length, bool(flags & _PERMANENT))


def _request(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body


def _deletion(assigned: Assigned) -> bytes:
    head = _ADDRESS.pack(assigned.family, assigned.prefix_length, 0, 0, assigned.index)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(assigned.address), _IFA_LOCAL) + assigned.address
    return _request(_DELETE_ADDRESS, _ACKNOWLEDGE, head + attribute)


def remove_addresses(wanted: Sequence[SpecAddress]) -> list[str]:
    """Removes those of ``wanted`` that are there; returns what failed, in words. Blocks."""
    failures: list[str] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(ANSWER_SECONDS)
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
    kernel.send(_request(_GET_ADDRESS, _DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)))
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
