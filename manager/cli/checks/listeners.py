"""Who has which port of this machine: its sockets that take what comes in, each with its process. Reads ``/proc``.

``root`` is ``/``, or a test's own tree. Without root's rights the processes of other users are not known.
"""

import ipaddress
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TCP_LISTEN: Final = "0A"
_UDP_UNCONNECTED: Final = "07"
"""include/net/tcp_states.h: TCP_CLOSE, of a datagram socket that takes from anybody."""
_REPLICATOR: Final = b"replicator.main"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process."""

    pid: int
    name: str
    is_replicator: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket."""

    protocol: str
    """``TCP`` or ``UDP``."""
    address: str
    """Without a zone; of all addresses ``0.0.0.0`` or ``::``."""
    port: int
    holder: Holder | None
    """``None``: not known whose."""

    def takes(self, address: str) -> bool:
        """Whether it has the port at ``address``, too; empty: at any."""
        if not address or self.address in ("::", address):
            return True  # Of all, as a rule with those of IPv4: net.ipv6.bindv6only is off.
        return self.address == "0.0.0.0" and ":" not in address


def listeners(root: Path) -> list[Listener]:
    """All of them."""
    found = list(_sockets(root))
    holders = _holders(root, {inode for _, _, _, inode in found})
    return [Listener(protocol, address, port, holders.get(inode)) for protocol, address, port, inode in found]


def _sockets(root: Path) -> Iterator[tuple[str, str, int, str]]:
    """Protocol, address, port and inode of each (proc_net_tcp(5))."""
    for protocol, state in (("TCP", _TCP_LISTEN), ("UDP", _UDP_UNCONNECTED)):
        for version in ("", "6"):
            try:
                lines = (root / f"proc/net/{protocol.lower()}{version}").read_text().splitlines()[1:]
            except OSError:
                continue  # This kernel has no IPv6.
            for fields in map(str.split, lines):
                if len(fields) > 9 and fields[3] == state:
                    host, _, port = fields[1].partition(":")
                    yield protocol, _address(host), int(port, 16), fields[9]


def _address(digits: str) -> str:
    """Of the kernel's words of 32 bits, each in this machine's own order of bytes."""
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


def _holders(root: Path, inodes: set[str]) -> dict[str, Holder]:
    found: dict[str, Holder] = {}
    for process in (root / "proc").glob("[0-9]*") if inodes else ():
        try:
            for descriptor in os.listdir(process / "fd"):
                inode = _socket_inode(process / "fd" / descriptor)
                if inode in inodes:
                    found.setdefault(inode, _holder(process))
        except OSError:
            continue  # It has ended meanwhile, or is another user's.
    return found


def _socket_inode(link: Path) -> str:
    try:
        return os.readlink(link).removeprefix("socket:[").removesuffix("]")
    except OSError:
        return ""


def _holder(process: Path) -> Holder:
    replicates = _REPLICATOR in (process / "cmdline").read_bytes().split(b"\0")
    return Holder(int(process.name), (process / "comm").read_text(errors="replace").strip(), replicates)
