"""Clients whose third segment takes its time, as over a long way: the handshakes under way at any moment are many.

``python -m tests.support.slow_handshakes ADDRESS PORT --network 10.78.0.0/16`` says BEGUN when the first of them has
been answered, and goes on until its standard input ends; then it says what each saw, one JSON object a line. The
network must be local to this machine as a whole, and be sent to it by the others. IPv4; a TCP of its own, of three
segments, since no kernel waits before it answers. This machine's kernel is kept from seeing what comes for it
(nftables, table ``slow``).
"""

import argparse
import ipaddress
import itertools
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass

BEGUN = "begun"
OWN_PORT = 1025
"""Below those that kernels give."""
_ETH_P_IP = 0x0800
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_LOOK_S = 0.005
_END_S = 3.0
"""What was begun has its time to be answered."""


@dataclass(slots=True)
class Handshake:
    """One of them."""

    source: str
    waited_ms: float = 0.0
    """How long after the second segment the third was sent; 0: there was none."""
    node: str = ""
    """Who said its name."""
    how: str = ""
    """``refused``: the first segment was; ``reset``: nobody had said a name, and it was over; empty: neither."""


class SlowClients:
    """All of them."""

    def __init__(self, address: str, port: int, sources: Iterator[str], *, rate: float, wait_s: float) -> None:
        self.begun: dict[str, Handshake] = {}
        self._address, self._port, self._sources = address, port, sources
        self._rate, self._wait_s = rate, wait_s
        self._sending = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._receiving = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        self._receiving.setblocking(False)
        self._due: deque[tuple[float, Handshake, int]] = deque()
        """When it was answered, and with which number."""

    def run(self) -> None:
        """Until standard input ends."""
        began_s, ended_s, said = time.monotonic(), None, False
        while ended_s is None or time.monotonic() < ended_s + _END_S:
            ready, _, _ = select.select([self._receiving, *([] if ended_s else [sys.stdin])], [], [], _LOOK_S)
            if sys.stdin in ready:
                ended_s = time.monotonic()
            self._hear()
            self._go_on()
            while ended_s is None and len(self.begun) < (time.monotonic() - began_s) * self._rate:
                one = Handshake(next(self._sources))
                self.begun[one.source] = one
                self._send(one.source, 1000, 0, _SYN)
            if not said and any(one.node for one in self.begun.values()):
                print(BEGUN, flush=True)
                said = True

    def _go_on(self) -> None:
        now_s = time.monotonic()
        while self._due and now_s >= self._due[0][0] + self._wait_s:
            answered_s, one, number = self._due.popleft()
            one.waited_ms = (now_s - answered_s) * 1000
            self._send(one.source, 1001, number + 1, _ACK)

    def _hear(self) -> None:
        while True:
            try:
                packet = self._receiving.recv(1 << 16)
            except BlockingIOError:
                return
            segment = packet[4 * (packet[0] & 15) : int.from_bytes(packet[2:4], "big")]
            if packet[9] == socket.IPPROTO_TCP and segment[:4] == struct.pack("!HH", self._port, OWN_PORT):
                self._heard(socket.inet_ntoa(packet[16:20]), segment)

    def _heard(self, source: str, segment: bytes) -> None:
        number, flags, said = int.from_bytes(segment[4:8], "big"), segment[13], segment[4 * (segment[12] >> 4) :]
        one = self.begun.get(source)
        if one is None or one.node or one.how:
            return
        if flags & _RST:
            one.how = "reset" if any(due is one for _, due, _ in self._due) or one.waited_ms else "refused"
        elif said:
            one.node = said.decode().strip()
            self._send(source, 1001, number + len(said), _RST | _ACK)
        elif flags & _SYN and not one.waited_ms and not any(due is one for _, due, _ in self._due):
            self._due.append((time.monotonic(), one, number))

    def _send(self, source: str, number: int, acknowledged: int, flags: int) -> None:
        here, there = socket.inet_aton(source), socket.inet_aton(self._address)
        head = struct.pack("!HHIIBBH", OWN_PORT, self._port, number, acknowledged, 5 << 4, flags, 64_000)
        pseudo = here + there + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head) + 4)
        total = sum(struct.unpack(f"!{(len(pseudo) + len(head)) // 2}H", pseudo + head))
        total = (total & 0xFFFF) + (total >> 16)
        code = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0, here, there)
        self._sending.sendto(ip + head + struct.pack("!HH", code, 0), (self._address, 0))


def _keep_the_kernel_out(network: str) -> None:
    rule = f"add rule ip slow in ip daddr {network} tcp dport {OWN_PORT} drop"
    chain = "add chain ip slow in { type filter hook input priority 0; policy accept; }"
    subprocess.run(["nft", f"add table ip slow; flush table ip slow; {chain}; {rule}"], check=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--network", required=True)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--wait", type=float, default=0.1, metavar="SECONDS")
    arguments = parser.parse_args()
    _keep_the_kernel_out(arguments.network)
    sources = map(str, itertools.islice(ipaddress.ip_network(arguments.network).hosts(), 1, None))
    clients = SlowClients(arguments.address, arguments.port, sources, rate=arguments.rate, wait_s=arguments.wait)
    clients.run()
    sys.stdout.writelines(json.dumps(asdict(one)) + "\n" for one in clients.begun.values())


if __name__ == "__main__":
    main()
